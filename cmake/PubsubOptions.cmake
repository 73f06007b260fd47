# What can be switched when configuring. Everything has a default that works.
option(PUBSUB_BUILD_CLI "Build the pubsub command" ON)
option(PUBSUB_BUILD_BRIDGE "Build pubsub-bridge and the library of connectors" ON)
option(PUBSUB_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(PUBSUB_BUILD_CONFORMANCE "Build pubsub-conformance, for authors of adapters; needs cmocka"
    ${PROJECT_IS_TOP_LEVEL})
option(PUBSUB_BUILD_BENCHMARKS "Build the benchmark programs" ${PROJECT_IS_TOP_LEVEL})
option(PUBSUB_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(PUBSUB_INSTALL "Generate install rules" ${PROJECT_IS_TOP_LEVEL})
option(PUBSUB_WERROR "Treat warnings as errors" OFF)
option(PUBSUB_LTO "Optimise across files when linking" OFF)
option(PUBSUB_HARDEN "Fortified libc calls, stack protector, read-only relocations" OFF)
option(PUBSUB_COVERAGE "Count executed lines (gcov)" OFF)
option(PUBSUB_FUZZ "Link the fuzz targets with libFuzzer; needs clang" OFF)
option(PUBSUB_ANALYZE "Run gcc's -fanalyzer while compiling" OFF)
option(PUBSUB_TIDY "Run clang-tidy on each file while compiling" OFF)
set(PUBSUB_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined or thread")
set_property(CACHE PUBSUB_SANITIZE PROPERTY STRINGS "" "address,undefined" "thread")

# Every adapter there is or will be. AUTO builds it when it exists and its library is found, ON makes
# that an error when not, OFF leaves it out.
set(PUBSUB_KNOWN_ADAPTERS local mqtt kafka redis amqp)
foreach(adapter IN LISTS PUBSUB_KNOWN_ADAPTERS)
    string(TOUPPER ${adapter} upper)
    set(PUBSUB_ADAPTER_${upper} AUTO CACHE STRING "Build the ${adapter} adapter: AUTO, ON or OFF")
    set_property(CACHE PUBSUB_ADAPTER_${upper} PROPERTY STRINGS AUTO ON OFF)
    if(NOT PUBSUB_ADAPTER_${upper} MATCHES "^(AUTO|ON|OFF)$")
        message(FATAL_ERROR "PUBSUB_ADAPTER_${upper} is \"${PUBSUB_ADAPTER_${upper}}\"; "
            "it must be AUTO, ON or OFF.")
    endif()
endforeach()

option(PUBSUB_ADAPTER_MODULES
    "Adapters with a heavy library are modules that the shared library opens when they are used" ON)
# Of libpubsub.so: 0 until 1.0, then the major version.
set(PUBSUB_SOVERSION 0)
# Where adapters are, seen from where the library is. An adapter is built for one SOVERSION.
set(PUBSUB_ADAPTER_SUBDIR "pubsub/adapters-${PUBSUB_SOVERSION}")

set(PUBSUB_TLS AUTO CACHE STRING "TLS by OpenSSL: AUTO, ON or OFF")
set_property(CACHE PUBSUB_TLS PROPERTY STRINGS AUTO ON OFF)
if(NOT PUBSUB_TLS MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "PUBSUB_TLS is \"${PUBSUB_TLS}\"; it must be AUTO, ON or OFF.")
endif()
set(PUBSUB_OPENSSL "openssl>=1.1.1")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
