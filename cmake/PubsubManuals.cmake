# Manual pages and shell completions, written by the command itself from its own table:
# build/man/*.1 and build/completions/pubsub.{bash,zsh,fish}; the bridge writes its own page. Target: manuals,
# part of all.
if(TARGET pubsub_cli AND NOT TARGET manuals AND NOT CMAKE_CROSSCOMPILING AND NOT PUBSUB_SANITIZE)
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/man/pubsub.1"
        COMMAND sh "${PROJECT_SOURCE_DIR}/cmake/manuals.sh" $<TARGET_FILE:pubsub_cli>
            "${PROJECT_BINARY_DIR}"
        DEPENDS pubsub_cli "${PROJECT_SOURCE_DIR}/cmake/manuals.sh" VERBATIM
        COMMENT "Writing manual pages and completions")
    set(pages "${PROJECT_BINARY_DIR}/man/pubsub.1")
    if(TARGET pubsub_bridge)
        # Behind the others, which begin with an empty folder.
        add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/man/pubsub-bridge.1"
            COMMAND pubsub_bridge help --man > "${PROJECT_BINARY_DIR}/man/pubsub-bridge.1"
            DEPENDS pubsub_bridge "${PROJECT_BINARY_DIR}/man/pubsub.1" VERBATIM)
        list(APPEND pages "${PROJECT_BINARY_DIR}/man/pubsub-bridge.1")
    endif()
    if(TARGET pubsub_conformance_program)
        add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/man/pubsub-conformance.1"
            COMMAND pubsub_conformance_program --man > "${PROJECT_BINARY_DIR}/man/pubsub-conformance.1"
            DEPENDS pubsub_conformance_program "${PROJECT_BINARY_DIR}/man/pubsub.1" VERBATIM)
        list(APPEND pages "${PROJECT_BINARY_DIR}/man/pubsub-conformance.1")
    endif()
    add_custom_target(manuals ALL DEPENDS ${pages})
endif()
