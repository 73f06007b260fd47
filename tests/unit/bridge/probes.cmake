# Servers and connectors are looked at from outside: a probe runs one, a script speaks to it.
if(TARGET pubsub_bridge_parts)
    find_program(PUBSUB_PYTHON3 python3)
    foreach(probe http_probe connector_probe)
        add_executable(${probe} ${probe}.c)
        set_target_properties(${probe} PROPERTIES C_EXTENSIONS OFF
            RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
        target_include_directories(${probe} PRIVATE "${PROJECT_SOURCE_DIR}/core"
            "${PROJECT_SOURCE_DIR}/bridge")
        target_link_libraries(${probe} PRIVATE pubsub_connectors_static pubsub_static pubsub_flags)
        target_compile_definitions(${probe} PRIVATE _POSIX_C_SOURCE=200809L)
        pubsub_group_test(${probe} unit)
    endforeach()
    foreach(pair "http_server http_probe" "webhook connector_probe" "exec connector_probe")
        string(REPLACE " " ";" pair "${pair}")
        list(GET pair 0 name)
        list(GET pair 1 probe)
        if(PUBSUB_PYTHON3 AND EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.py")
            pubsub_add_script_test(unit bridge ${name} COMMAND "${PUBSUB_PYTHON3}" -B
                "${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.py" $<TARGET_FILE:${probe}>)
        endif()
    endforeach()
endif()
if(TARGET pubsub_bridge)
    pubsub_group_test(pubsub_bridge unit)
endif()
if(TARGET pubsub_bridge AND PUBSUB_PYTHON3)
    pubsub_add_script_test(unit bridge program COMMAND "${PUBSUB_PYTHON3}" -B
        "${CMAKE_CURRENT_SOURCE_DIR}/test_program.py" $<TARGET_FILE:pubsub_bridge>)
endif()
if(TARGET pubsub_bridge)
    pubsub_add_script_test(unit bridge systemd_unit COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/check_unit.sh"
        "${PROJECT_BINARY_DIR}/pubsub-bridge.service" $<TARGET_FILE:pubsub_bridge>)
endif()
