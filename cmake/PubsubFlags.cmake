# pubsub_flags: the compiler and linker flags of everything that is built here. An INTERFACE target,
# so nothing leaks to a project that adds this one as a subdirectory.

# Exactly C11, not "11 or newer" as target_compile_features would have it. Seen by this tree only.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

add_library(pubsub_flags INTERFACE)
target_compile_definitions(pubsub_flags INTERFACE _POSIX_C_SOURCE=200809L)
target_compile_options(pubsub_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wpointer-arith -Wundef -Wvla
    -Wwrite-strings -Wformat=2 -Wdouble-promotion -Wimplicit-fallthrough -Wnull-dereference)
if(PUBSUB_WERROR)
    target_compile_options(pubsub_flags INTERFACE -Werror)
endif()

if(PUBSUB_SANITIZE)
    target_compile_options(pubsub_flags INTERFACE
        -fsanitize=${PUBSUB_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(pubsub_flags INTERFACE -fsanitize=${PUBSUB_SANITIZE})
    # Sanitizers change what gcc's flow analysis sees; these two then report what is not there.
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(pubsub_flags INTERFACE
            -Wno-null-dereference -Wno-maybe-uninitialized)
    endif()
endif()

if(PUBSUB_HARDEN)
    target_compile_options(pubsub_flags INTERFACE
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
    target_link_options(pubsub_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()

if(PUBSUB_COVERAGE)
    target_compile_options(pubsub_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(pubsub_flags INTERFACE --coverage)
endif()

if(PUBSUB_ANALYZE)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
        message(FATAL_ERROR "PUBSUB_ANALYZE needs gcc.")
    endif()
    target_compile_options(pubsub_flags INTERFACE -fanalyzer)
endif()

if(PUBSUB_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "PUBSUB_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang.")
    endif()
    target_compile_options(pubsub_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(pubsub_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(PUBSUB_LTO)
    include(CheckIPOSupported)
    check_ipo_supported(RESULT lto_works OUTPUT lto_why LANGUAGES C)
    if(NOT lto_works)
        message(FATAL_ERROR "PUBSUB_LTO: this compiler cannot: ${lto_why}")
    endif()
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    # libpubsub.a must stay usable by a compiler other than the one that built it.
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(pubsub_flags INTERFACE -ffat-lto-objects)
    endif()
endif()

if(PUBSUB_TIDY)
    find_program(PUBSUB_CLANG_TIDY clang-tidy REQUIRED)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
        "${PROJECT_SOURCE_DIR}/.clang-tidy")
    # The macro changes the command when the settings change, so that every file is looked at again.
    file(SHA256 "${PROJECT_SOURCE_DIR}/.clang-tidy" tidy_settings)
    set(CMAKE_C_CLANG_TIDY "${PUBSUB_CLANG_TIDY}" --quiet
        "--extra-arg=-DPUBSUB__TIDY_${tidy_settings}")
endif()
