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

# pubsub_add_adapter(kafka MODULE ROWS options.c SOURCES adapter.c ... [PACKAGES rdkafka>=2.0]
# [LIBRARY paho-mqtt3as MQTTAsync.h]): the adapter becomes a part of libpubsub named adapter_<name>.
# PACKAGES are pkg-config modules; LIBRARY is one that has no such module, found by its name and a header.
# Their headers are system headers and visible in this folder only. With SHARED_PACKAGES the packages' libraries
# are loaded by programs that link libpubsub statically, too, so what those need in turn is not asked for. With MODULE and PUBSUB_ADAPTER_MODULES it
# is a part of the static library only, and a module of the shared one, which keeps the option rows: the
# files of ROWS, compiled with PUBSUB_MODULE_ROWS (adapters/module/options.h). The table, pubsub__adapter_<name>,
# is in adapter.c. The registry is compiled with PUBSUB_HAVE_ADAPTER_<NAME> or PUBSUB_MODULE_ADAPTER_<NAME>.
function(pubsub_add_adapter name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "MODULE;SHARED_PACKAGES" "" "SOURCES;ROWS;PACKAGES;LIBRARY")
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
        if(arg_SHARED_PACKAGES)
            list(TRANSFORM ${prefix}_LIBRARIES PREPEND "-l" OUTPUT_VARIABLE flags)
            set_property(GLOBAL APPEND PROPERTY PUBSUB_PC_LIBS ${flags})
            set_property(GLOBAL APPEND PROPERTY PUBSUB_SHARED_REQUIRES "${package}")
        else()
            set_property(GLOBAL APPEND PROPERTY PUBSUB_PC_REQUIRES "${package}")
        endif()
    endforeach()
    set(header_dir "")
    if(arg_LIBRARY)
        pubsub_adapter_library(${name} ${arg_LIBRARY} library header_dir)
        if(NOT library)
            return()
        endif()
        list(APPEND found "${library}")
    endif()
    set(is_module FALSE)
    if(arg_MODULE AND PUBSUB_ADAPTER_MODULES)
        set(is_module TRUE)
    endif()
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTERS ${name})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTER_PACKAGES_pubsub_static ${found})
    if(is_module)
        pubsub_adapter_as_module(${name} "${header_dir}" "${arg_SOURCES}" "${arg_ROWS}" ${found})
        pubsub_adapter_note(${name} "on, a module")
        return()
    endif()
    pubsub_add_part(adapter_${name} ${arg_SOURCES} ${arg_ROWS})
    pubsub_adapter_headers(adapter_${name} "${header_dir}" ${found})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTER_PACKAGES_pubsub ${found})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTERS_BUILT_IN ${name})
    pubsub_adapter_note(${name} "on")
endfunction()

# What an adapter's files see.
function(pubsub_adapter_headers target header_dir)
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/adapters")
    target_include_directories(${target} SYSTEM PRIVATE ${header_dir})
    target_link_libraries(${target} PRIVATE ${ARGN})
endfunction()

# The pieces of an adapter that is a module. Its table is compiled twice: under its own name for the static
# library, and under the name that is looked for in a module. So are its rows, for the shared library.
function(pubsub_adapter_as_module name header_dir sources rows)
    list(REMOVE_ITEM sources adapter.c)
    pubsub_add_part(adapter_${name} STATIC_ONLY ${sources} ${rows})
    pubsub_add_part(adapter_${name}_table STATIC_ONLY adapter.c)
    pubsub_add_part(adapter_${name}_entry PIECE adapter.c)
    pubsub_add_part(adapter_${name}_rows SHARED_ONLY ${rows})
    target_compile_definitions(adapter_${name}_entry PRIVATE
        pubsub__adapter_${name}=pubsub_adapter_v1)
    target_compile_definitions(adapter_${name}_rows PRIVATE PUBSUB_MODULE_ROWS=1)
    foreach(piece "" _table _entry _rows)
        pubsub_adapter_headers(adapter_${name}${piece} "${header_dir}" ${ARGN})
    endforeach()
    set_property(GLOBAL PROPERTY PUBSUB_MODULE_PACKAGES_${name} ${ARGN})
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTERS_MODULES ${name})
endfunction()

# The modules, when the library is there to link them with. What core/base keeps once for a process comes
# from the library (adapters/module/base.c), the rest of it and the table of containers are linked in.
function(pubsub_add_modules)
    get_property(names GLOBAL PROPERTY PUBSUB_ADAPTERS_MODULES)
    add_custom_target(pubsub_modules)
    if(names)
        pubsub_add_part(adapter_module_base PIECE "${PROJECT_SOURCE_DIR}/adapters/module/base.c")
        add_library(pubsub_stateless STATIC $<TARGET_OBJECTS:core_base>
            $<TARGET_OBJECTS:core_container>)
    endif()
    foreach(name IN LISTS names)
        set(target pubsub_adapter_${name})
        get_property(packages GLOBAL PROPERTY PUBSUB_MODULE_PACKAGES_${name})
        add_library(${target} MODULE $<TARGET_OBJECTS:adapter_${name}>
            $<TARGET_OBJECTS:adapter_${name}_entry> $<TARGET_OBJECTS:adapter_module_base>)
        # Where the library will be, seen from there.
        string(REGEX REPLACE "[^/]+" ".." up "${PUBSUB_ADAPTER_SUBDIR}")
        set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} SUFFIX ".so"
            LINKER_LANGUAGE C INSTALL_RPATH "$ORIGIN/${up}"
            LIBRARY_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:pubsub>/${PUBSUB_ADAPTER_SUBDIR}")
        target_link_libraries(${target} PRIVATE pubsub_flags pubsub pubsub_stateless ${packages}
            Threads::Threads)
        # Its other files know the table by its own name.
        target_link_options(${target} PRIVATE
            "-Wl,--defsym=pubsub__adapter_${name}=pubsub_adapter_v1")
        if(NOT PUBSUB_SANITIZE AND NOT PUBSUB_FUZZ)
            target_link_options(${target} PRIVATE -Wl,--no-undefined)
        endif()
        add_dependencies(pubsub_modules ${target})
    endforeach()
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

# The compile definitions of a registry, PUBSUB_<word>_ADAPTER_<NAME> for each of a list.
function(pubsub_adapter_definitions target list word)
    get_property(adapters GLOBAL PROPERTY ${list})
    foreach(name IN LISTS adapters)
        string(TOUPPER ${name} upper)
        target_compile_definitions(${target} PRIVATE PUBSUB_${word}_ADAPTER_${upper}=1)
    endforeach()
endfunction()

# One line of the summary.
function(pubsub_adapter_note name text)
    set_property(GLOBAL APPEND PROPERTY PUBSUB_ADAPTER_NOTES "${name}: ${text}")
endfunction()
