# Which adapters are built. adapters/CMakeLists.txt asks with pubsub_adapter_wanted, each adapter's
# folder answers with one pubsub_add_adapter.

# pubsub_adapter_wanted(mqtt out): TRUE when the adapter's folder is to be added. An adapter that was
# asked for by ON and does not exist ends the configuration.
function(pubsub_adapter_wanted name out)
    string(TOUPPER ${name} upper)
    set(${out} FALSE PARENT_SCOPE)
    if(PUBSUB_ADAPTER_${upper} STREQUAL "OFF")
        pubsub_adapter_note(${name} "off (PUBSUB_ADAPTER_${upper}=OFF)")
    elseif(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/CMakeLists.txt")
        set(${out} TRUE PARENT_SCOPE)
    elseif(PUBSUB_ADAPTER_${upper} STREQUAL "ON")
        message(FATAL_ERROR "PUBSUB_ADAPTER_${upper}=ON, but this version has no ${name} adapter "
            "yet. Use AUTO or OFF.")
    else()
        pubsub_adapter_note(${name} "not in this version")
    endif()
endfunction()

# pubsub_add_adapter(kafka SOURCES adapter.c ... [PACKAGES rdkafka>=2.0] [LIBRARY paho-mqtt3as
# MQTTAsync.h]): the adapter becomes a part of libpubsub named adapter_<name>. PACKAGES are pkg-config
# modules; LIBRARY is one that has no such module, found by its name and a header. Their headers are
# system headers and visible in this folder only. Sets PUBSUB_HAVE_ADAPTER_<NAME>, which the registry is
# compiled with.
function(pubsub_add_adapter name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;PACKAGES;LIBRARY")
    string(TOUPPER ${name} upper)
    set(found "")
    foreach(package IN LISTS arg_PACKAGES)
        string(MAKE_C_IDENTIFIER "PUBSUB_${package}" prefix)
        pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL "${package}")
        if(NOT ${prefix}_FOUND)
            if(PUBSUB_ADAPTER_${upper} STREQUAL "ON")
                message(FATAL_ERROR "PUBSUB_ADAPTER_${upper}=ON, but pkg-config does not find "
                    "\"${package}\".")
            endif()
            pubsub_adapter_note(${name} "off (no ${package})")
            return()
        endif()
        list(APPEND found PkgConfig::${prefix})
        set_property(GLOBAL APPEND PROPERTY PUBSUB_PC_REQUIRES "${package}")
    endforeach()
    set(header_dir "")
    if(arg_LIBRARY)
        pubsub_adapter_library(${name} ${arg_LIBRARY} library header_dir)
        if(NOT library)
            return()
        endif()
        list(APPEND found "${library}")
    endif()
    pubsub_add_part(adapter_${name} ${arg_SOURCES})
    target_include_directories(adapter_${name} PRIVATE "${PROJECT_SOURCE_DIR}/adapters")
    target_include_directories(adapter_${name} SYSTEM PRIVATE ${header_dir})
    target_link_libraries(adapter_${name} PRIVATE ${found})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTER_PACKAGES ${found})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTERS ${name})
    pubsub_adapter_note(${name} "on")
endfunction()

# Find a library without pkg-config by a header. *out is what to link, empty when there is none: the bare
# name where the linker finds it by itself, which keeps the installed files free of this machine's paths.
function(pubsub_adapter_library name library header out out_header_dir)
    string(TOUPPER ${name} upper)
    find_path(PUBSUB_${upper}_INCLUDE_DIR ${header} DOC "Where the ${name} adapter finds ${header}")
    find_library(PUBSUB_${upper}_LIBRARY ${library} DOC "The library of the ${name} adapter")
    mark_as_advanced(PUBSUB_${upper}_INCLUDE_DIR PUBSUB_${upper}_LIBRARY)
    set(${out} "" PARENT_SCOPE)
    if(NOT PUBSUB_${upper}_INCLUDE_DIR OR NOT PUBSUB_${upper}_LIBRARY)
        if(PUBSUB_ADAPTER_${upper} STREQUAL "ON")
            message(FATAL_ERROR "PUBSUB_ADAPTER_${upper}=ON, but there is no ${header} or no "
                "lib${library}. Say where with PUBSUB_${upper}_INCLUDE_DIR and "
                "PUBSUB_${upper}_LIBRARY.")
        endif()
        pubsub_adapter_note(${name} "off (no ${library})")
        return()
    endif()
    get_filename_component(dir "${PUBSUB_${upper}_LIBRARY}" DIRECTORY)
    if(dir IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
        set(${out} "${library}" PARENT_SCOPE)
        set_property(GLOBAL APPEND PROPERTY PUBSUB_PC_LIBS "-l${library}")
    else()
        set(${out} "${PUBSUB_${upper}_LIBRARY}" PARENT_SCOPE)
        set_property(GLOBAL APPEND PROPERTY PUBSUB_PC_LIBS "-L${dir}" "-l${library}")
    endif()
    set(${out_header_dir} "${PUBSUB_${upper}_INCLUDE_DIR}" PARENT_SCOPE)
endfunction()

# The compile definitions of the registry, one for each adapter that is built.
function(pubsub_adapter_definitions target)
    get_property(adapters GLOBAL PROPERTY PUBSUB_ADAPTERS)
    foreach(name IN LISTS adapters)
        string(TOUPPER ${name} upper)
        target_compile_definitions(${target} PRIVATE PUBSUB_HAVE_ADAPTER_${upper}=1)
    endforeach()
endfunction()

# One line of the summary.
function(pubsub_adapter_note name text)
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTER_NOTES "${name}: ${text}")
endfunction()
