# How a folder of the house becomes a library, and what every target is compiled with.

set(P11HA_SANITIZE "" CACHE STRING "Value of -fsanitize= for every target, or empty")
option(P11HA_FUZZ "Build the libFuzzer targets (clang)" OFF)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(NSS_HEADERS REQUIRED nss)
find_program(P11HA_CCACHE ccache)
if(P11HA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${P11HA_CCACHE})
endif()

add_library(p11ha_flags INTERFACE)
target_include_directories(p11ha_flags INTERFACE ${CMAKE_SOURCE_DIR})
# The PKCS#11 headers are somebody else's code: SYSTEM keeps our warnings out of them.
target_include_directories(p11ha_flags SYSTEM INTERFACE ${NSS_HEADERS_INCLUDE_DIRS})
target_compile_options(p11ha_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(p11ha_flags INTERFACE -Wthread-safety -Wthread-safety-beta)
else()
  # GNU_UNIQUE symbols would be exported past the version script and would pin the library in memory.
  target_compile_options(p11ha_flags INTERFACE -fno-gnu-unique)
  # GCC 12 takes "text" + std::string for an overlapping copy when it optimises (its bug 105329).
  target_compile_options(p11ha_flags INTERFACE -Wno-restrict)
endif()
if(P11HA_SANITIZE)
  target_compile_options(p11ha_flags INTERFACE -fsanitize=${P11HA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(p11ha_flags INTERFACE -fsanitize=${P11HA_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # clang 14 emits no code for coroutines under it.
    target_compile_options(p11ha_flags INTERFACE -fno-sanitize=function)
  endif()
  if(P11HA_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # ThreadSanitizer does not see Asio's fences: it is their mutexes that it goes by.
    target_compile_options(p11ha_flags INTERFACE -Wno-tsan)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(p11ha_flags INTERFACE _FORTIFY_SOURCE=2)
  # What we link is bound when it is loaded (-z now): calls need no detour for binding later.
  target_compile_options(p11ha_flags INTERFACE -fno-plt)
endif()
if(P11HA_FUZZ)
  target_compile_options(p11ha_flags INTERFACE -fsanitize=fuzzer-no-link)
elseif(P11HA_SANITIZE)
  # Tests are run once, for their reports: these need line numbers, and a fast program less than a fast build. What is
  # fuzzed runs for as long as it is given, and is optimised.
  target_compile_options(p11ha_flags INTERFACE -Og -g1)
endif()
target_link_libraries(p11ha_flags INTERFACE Threads::Threads)

set_property(GLOBAL PROPERTY P11HA_EDGES "")

# Notes which folders may be included from `folder`; nothing else in the tree says it again.
function(p11ha_edges folder)
  string(JOIN " " below ${ARGN})
  set_property(GLOBAL APPEND PROPERTY P11HA_EDGES "${folder}: ${below}")
endfunction()

# p11ha_library(FOLDER [EDGES FOLDER ...]): a static library p11ha_FOLDER of all .cc files in FOLDER and its rooms (FOLDER/*/);
# a CMakeLists.txt in FOLDER, if there is one, may add to it.
function(p11ha_library folder)
  cmake_parse_arguments(ARG "" "" "EDGES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cc ${CMAKE_SOURCE_DIR}/${folder}/*/*.cc)
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.h ${CMAKE_SOURCE_DIR}/${folder}/*/*.h)
  p11ha_edges(${folder} ${ARG_EDGES})
  if(NOT sources)
    return()
  endif()
  add_library(p11ha_${folder} STATIC ${sources} ${headers})
  list(TRANSFORM ARG_EDGES PREPEND p11ha_ OUTPUT_VARIABLE libraries)
  target_link_libraries(p11ha_${folder} PUBLIC ${libraries} p11ha_flags)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()

# p11ha_folder(FOLDER [EDGES FOLDER ...]): a folder whose own CMakeLists.txt makes its targets (programs, shared objects).
function(p11ha_folder folder)
  cmake_parse_arguments(ARG "" "" "EDGES" ${ARGN})
  if(ARG_EDGES)
    p11ha_edges(${folder} ${ARG_EDGES})
  endif()
  if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()

function(p11ha_write_edges)
  get_property(edges GLOBAL PROPERTY P11HA_EDGES)
  string(JOIN "\n" text ${edges})
  file(WRITE ${CMAKE_BINARY_DIR}/edges.txt "${text}\n")
endfunction()

# p11ha_cryptoki_module(TARGET [EXTENSIONS]): a shared object that exports the functions of the standard, with EXTENSIONS
# those of our own too, and nothing else.
function(p11ha_cryptoki_module target)
  cmake_parse_arguments(ARG "EXTENSIONS" "" "" ${ARGN})
  # An entry point takes in whatever it sees (cryptoki/entry_points.h): it is not to see the whole folder.
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "exports\\.cc$")
  set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set(map ${CMAKE_BINARY_DIR}/cryptoki/exports.map)
  if(ARG_EXTENSIONS)
    set(map ${CMAKE_BINARY_DIR}/cryptoki/extensions.map)
  endif()
  set_target_properties(${target} PROPERTIES PREFIX "")
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
  target_link_options(${target} PRIVATE -Wl,--version-script=${map} -Wl,--exclude-libs,ALL -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now)
  if(NOT P11HA_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
  add_dependencies(${target} p11ha_exports_map)
endfunction()
