# Manual pages and shell completions, written by the command itself from its own table:
# build/man/*.1 and build/completions/pubsub.{bash,zsh,fish}. Target: manuals, part of all.
if(TARGET pubsub_cli AND NOT TARGET manuals AND NOT CMAKE_CROSSCOMPILING AND NOT PUBSUB_SANITIZE)
    add_custom_command(OUTPUT "${PROJECT_BINARY_DIR}/man/pubsub.1"
        COMMAND sh "${PROJECT_SOURCE_DIR}/cmake/manuals.sh" $<TARGET_FILE:pubsub_cli>
            "${PROJECT_BINARY_DIR}"
        DEPENDS pubsub_cli "${PROJECT_SOURCE_DIR}/cmake/manuals.sh" VERBATIM
        COMMENT "Writing manual pages and completions")
    add_custom_target(manuals ALL DEPENDS "${PROJECT_BINARY_DIR}/man/pubsub.1")
endif()
