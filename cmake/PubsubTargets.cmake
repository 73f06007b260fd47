# Helpers that every folder's CMakeLists.txt uses: parts of the library, the library, programs.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)

# An object library that becomes part of libpubsub: pubsub_add_part(core_topic a.c b.c); with SHARED_ONLY
# or STATIC_ONLY before the files of that one only, with PIECE of neither.
function(pubsub_add_part name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SHARED_ONLY;STATIC_ONLY;PIECE" "" "")
    add_library(${name} OBJECT ${arg_UNPARSED_ARGUMENTS})
    set_target_properties(${name} PROPERTIES C_EXTENSIONS OFF C_VISIBILITY_PRESET hidden
        POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/core"
        "${PROJECT_SOURCE_DIR}/core/include")
    target_link_libraries(${name} PRIVATE pubsub_flags)
    if(NOT arg_STATIC_ONLY AND NOT arg_PIECE)
        set_property(GLOBAL APPEND PROPERTY PUBSUB_PARTS_pubsub ${name})
    endif()
    if(NOT arg_SHARED_ONLY AND NOT arg_PIECE)
        set_property(GLOBAL APPEND PROPERTY PUBSUB_PARTS_pubsub_static ${name})
    endif()
endfunction()

# libpubsub, shared and static, of all parts.
function(pubsub_add_library)
    add_library(pubsub SHARED)
    add_library(pubsub_static STATIC)
    foreach(lib pubsub pubsub_static)
        get_property(parts GLOBAL PROPERTY PUBSUB_PARTS_${lib})
        get_property(packages GLOBAL PROPERTY PUBSUB_ADAPTER_PACKAGES_${lib})
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
    target_link_libraries(pubsub PRIVATE ${CMAKE_DL_LIBS})
    set_target_properties(pubsub PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PUBSUB_SOVERSION})
    # A sanitizer's runtime comes with the program, so only plain builds can forbid open symbols.
    if(NOT PUBSUB_SANITIZE AND NOT PUBSUB_FUZZ)
        target_link_options(pubsub PRIVATE -Wl,--no-undefined)
    endif()
    set_target_properties(pubsub_static PROPERTIES OUTPUT_NAME pubsub EXPORT_NAME static)
    add_library(pubsub::pubsub ALIAS pubsub)
    add_library(pubsub::static ALIAS pubsub_static)
    pubsub_add_modules()
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
    add_dependencies(${name} pubsub_modules)
endfunction()
