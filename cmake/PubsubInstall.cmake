# Installed files: both libraries, the headers, programs, pkg-config file, CMake package, and the man
# pages and completions when the build produced them.
include(CMakePackageConfigHelpers)

install(TARGETS pubsub pubsub_static EXPORT pubsubTargets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
# Adapters that the shared library opens when they are used.
get_property(modules GLOBAL PROPERTY PUBSUB_ADAPTERS_MODULES)
foreach(name IN LISTS modules)
    install(TARGETS pubsub_adapter_${name}
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}/${PUBSUB_ADAPTER_SUBDIR}")
endforeach()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/core/include/pubsub"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
if(TARGET pubsub_connectors)
    # For programs that run connectors, and for connectors that are built elsewhere.
    set_target_properties(pubsub_connectors PROPERTIES EXPORT_NAME connectors)
    install(TARGETS pubsub_connectors EXPORT pubsubTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/bridge/include/pubsub"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
endif()
foreach(program pubsub_cli pubsub_bridge pubsub_conformance_program)
    if(TARGET ${program})
        install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
    endif()
endforeach()
if(TARGET pubsub_bridge)
    configure_file(bridge/pubsub-bridge.service.in pubsub-bridge.service @ONLY)
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        install(FILES "${PROJECT_BINARY_DIR}/pubsub-bridge.service" DESTINATION lib/systemd/system)
    endif()
endif()

# pkg-config: "name>=version" of a pkg-config module becomes "name >= version".
get_property(requires GLOBAL PROPERTY PUBSUB_PC_REQUIRES)
get_property(shared GLOBAL PROPERTY PUBSUB_SHARED_REQUIRES)
list(PREPEND requires libuv)
set(pc_requires "")
set(PUBSUB_CONFIG_PACKAGES "    pkg_check_modules(LIBUV QUIET IMPORTED_TARGET libuv)\n")
foreach(module IN LISTS requires shared)
    if(NOT module IN_LIST shared)
        string(REGEX REPLACE "([<>=]+)" " \\1 " spaced "${module}")
        list(APPEND pc_requires "${spaced}")
    endif()
    if(NOT module STREQUAL "libuv")
        string(MAKE_C_IDENTIFIER "PUBSUB_${module}" prefix)
        string(APPEND PUBSUB_CONFIG_PACKAGES
            "    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET \"${module}\")\n")
    endif()
endforeach()
list(JOIN pc_requires ", " PUBSUB_PC_REQUIRES)
get_property(libs GLOBAL PROPERTY PUBSUB_PC_LIBS)
list(JOIN libs " " PUBSUB_PC_LIBS)
file(RELATIVE_PATH PUBSUB_PC_TO_PREFIX
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" PUBSUB_PC_TO_PREFIX "${PUBSUB_PC_TO_PREFIX}")
configure_file(cmake/pubsub.pc.in pubsub.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/pubsub.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(TARGET pubsub_connectors)
    configure_file(cmake/pubsub-connectors.pc.in pubsub-connectors.pc @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/pubsub-connectors.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endif()

# CMake package.
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pubsub")
configure_package_config_file(cmake/pubsubConfig.cmake.in pubsubConfig.cmake
    INSTALL_DESTINATION "${package_dir}" PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(pubsubConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/pubsubConfig.cmake"
    "${PROJECT_BINARY_DIR}/pubsubConfigVersion.cmake" DESTINATION "${package_dir}")
install(EXPORT pubsubTargets NAMESPACE pubsub:: DESTINATION "${package_dir}")

# Man pages and completions are made by the programs themselves, from their own tables.
install(DIRECTORY "${PROJECT_BINARY_DIR}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1"
    OPTIONAL FILES_MATCHING PATTERN "*.1")
install(FILES "${PROJECT_BINARY_DIR}/completions/pubsub.bash" OPTIONAL RENAME pubsub
    DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${PROJECT_BINARY_DIR}/completions/pubsub.zsh" OPTIONAL RENAME _pubsub
    DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${PROJECT_BINARY_DIR}/completions/pubsub.fish" OPTIONAL
    DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
