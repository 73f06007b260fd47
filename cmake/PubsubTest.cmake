# Helpers of the tests. A test's name is label.area.name, its folder tests/label/area, its label the
# first word; `ctest -L unit` and `ctest -R conformance.local` follow from that.

pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# pubsub_group_test(target label): building tests_<label> builds it, so that a run of some labels need not
# build the others' programs. For what pubsub_add_test does not make itself.
function(pubsub_group_test target label)
    if(NOT TARGET tests_${label})
        add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${target})
endfunction()

# About how many seconds the tests of a label take. Several run at a time and mostly wait for brokers; in
# a tree where none has run yet ctest starts those of a high cost first, so that none is left over alone
# at the end.
set(pubsub_cost_conformance 100)
set(pubsub_cost_conformance.amqp 140)
set(pubsub_cost_conformance.local 30)
set(pubsub_cost_conformance.redis 20)
set(pubsub_cost_faults 15)
set(pubsub_cost_bridge 15)
set(pubsub_cost_interop 8)
set(pubsub_cost_cli 5)
function(pubsub_cost name label)
    if(DEFINED pubsub_cost_${name})
        set(label ${name})
    endif()
    if(DEFINED pubsub_cost_${label})
        set_tests_properties(${name} PROPERTIES COST ${pubsub_cost_${label}})
    endif()
endfunction()

# pubsub_add_test(unit core topic): test_topic.c of this folder -> ctest unit.core.topic, label unit.
# Links the static library, so that internals can be tested. Further arguments: more sources.
function(pubsub_add_test label area name)
    set(target test_${label}_${area}_${name})
    add_executable(${target} test_${name}.c ${ARGN})
    set_target_properties(${target} PROPERTIES C_EXTENSIONS OFF
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/core"
        "${PROJECT_SOURCE_DIR}/adapters" "${PROJECT_SOURCE_DIR}/cli" "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${target} PRIVATE pubsub_static PkgConfig::CMOCKA PkgConfig::LIBUV
        Threads::Threads pubsub_flags)
    add_test(NAME ${label}.${area}.${name} COMMAND ${target})
    # Fault tests start brokers of their own, which takes seconds each, and more on a busy machine.
    set(limit 120)
    if(label STREQUAL "faults")
        set(limit 360)
    endif()
    set_tests_properties(${label}.${area}.${name} PROPERTIES LABELS ${label} TIMEOUT ${limit})
    pubsub_cost(${label}.${area}.${name} ${label})
    pubsub_group_test(${target} ${label})
endfunction()

# pubsub_add_bridge_test(unit bridge slice): the same with the bridge's parts and the connectors. Does
# nothing where the bridge is not built.
function(pubsub_add_bridge_test label area name)
    if(NOT TARGET pubsub_bridge_parts)
        return()
    endif()
    pubsub_add_test(${label} ${area} ${name} ${ARGN})
    target_include_directories(test_${label}_${area}_${name} PRIVATE "${PROJECT_SOURCE_DIR}/bridge")
    target_link_libraries(test_${label}_${area}_${name} PRIVATE pubsub_bridge_parts
        pubsub_connectors_static pubsub_static)
endfunction()

# pubsub_add_script_test(hygiene tree spdx COMMAND ...): a script as a ctest; exit code 77 is "skipped".
function(pubsub_add_script_test label area name)
    cmake_parse_arguments(PARSE_ARGV 3 arg "" "" "COMMAND")
    add_test(NAME ${label}.${area}.${name} COMMAND ${arg_COMMAND})
    set_tests_properties(${label}.${area}.${name} PROPERTIES LABELS ${label} TIMEOUT 120
        SKIP_RETURN_CODE 77)
    pubsub_cost(${label}.${area}.${name} ${label})
endfunction()

add_custom_target(fuzzers)

# pubsub_add_fuzz(url): fuzz_url.c of this folder, which defines LLVMFuzzerTestOneInput. With
# PUBSUB_FUZZ it becomes a libFuzzer program; otherwise, and in every test run, the same code is
# replayed over the files of corpus/url and fixed mutations of them: ctest fuzz.replay.url.
function(pubsub_add_fuzz name)
    set(target fuzz_${name})
    add_executable(${target} fuzz_${name}.c ${ARGN})
    set_target_properties(${target} PROPERTIES C_EXTENSIONS OFF
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/core"
        "${PROJECT_SOURCE_DIR}/adapters" "${PROJECT_SOURCE_DIR}/cli" "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${target} PRIVATE pubsub_static PkgConfig::LIBUV Threads::Threads
        pubsub_flags)
    add_dependencies(fuzzers ${target})
    if(PUBSUB_FUZZ)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c")
        add_test(NAME fuzz.replay.${name}
            COMMAND ${target} "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
        set_tests_properties(fuzz.replay.${name} PROPERTIES LABELS fuzz TIMEOUT 120)
        pubsub_group_test(${target} fuzz)
    endif()
endfunction()
