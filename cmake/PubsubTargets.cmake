# Helpers that every folder's CMakeLists.txt uses: parts of the library, the library, programs.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)

# An object library that becomes part of libpubsub: pubsub_add_part(core_topic a.c b.c)
function(pubsub_add_part name)
    add_library(${name} OBJECT ${ARGN})
    set_target_properties(${name} PROPERTIES C_EXTENSIONS OFF C_VISIBILITY_PRESET hidden
        POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/core"
        "${PROJECT_SOURCE_DIR}/core/include")
    target_link_libraries(${name} PRIVATE pubsub_flags)
    set_property(GLOBAL APPEND PROPERTY PUBSUB_PARTS ${name})
endfunction()

# libpubsub, shared and static, of all parts.
function(pubsub_add_library)
    get_property(parts GLOBAL PROPERTY PUBSUB_PARTS)
    get_property(packages GLOBAL PROPERTY PUBSUB_ADAPTER_PACKAGES)
    add_library(pubsub SHARED)
    add_library(pubsub_static STATIC)
    foreach(lib pubsub pubsub_static)
        foreach(part IN LISTS parts)
            target_sources(${lib} PRIVATE $<TARGET_OBJECTS:${part}>)
        endforeach()
        target_include_directories(${lib} PUBLIC
            "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include>"
            "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
        target_link_libraries(${lib} PRIVATE $<BUILD_INTERFACE:pubsub_flags>
            PkgConfig::LIBUV Threads::Threads ${packages})
        set_target_properties(${lib} PROPERTIES LINKER_LANGUAGE C)
    endforeach()
    # SOVERSION stays 0 until 1.0, then it is the major version.
    set_target_properties(pubsub PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
    # A sanitizer's runtime comes with the program, so only plain builds can forbid open symbols.
    if(NOT PUBSUB_SANITIZE AND NOT PUBSUB_FUZZ)
        target_link_options(pubsub PRIVATE -Wl,--no-undefined)
    endif()
    set_target_properties(pubsub_static PROPERTIES OUTPUT_NAME pubsub EXPORT_NAME static)
    add_library(pubsub::pubsub ALIAS pubsub)
    add_library(pubsub::static ALIAS pubsub_static)
endfunction()

# A program beside the library: it sees the public headers and core/base, nothing else.
function(pubsub_add_program name)
    add_executable(${name} ${ARGN})
    # An installed program finds the library beside it, wherever the tree was moved.
    file(RELATIVE_PATH to_lib "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
    set_target_properties(${name} PROPERTIES C_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON
        INSTALL_RPATH "$ORIGIN/${to_lib}")
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/core")
    target_link_libraries(${name} PRIVATE pubsub pubsub_base pubsub_flags)
endfunction()
