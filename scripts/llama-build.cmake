# Read by CMake at the end of llama.cpp's project() call (CMAKE_PROJECT_llama.cpp_INCLUDE, see the Makefile).
# llama-cpp-python forces the "common" library on, though its Python side never loads it: leaving it out makes the
# build shorter and the installed package smaller. A normal variable hides the forced cache entry.
set(LLAMA_BUILD_COMMON OFF)
# GCC's intrinsics for AMX tiles don't tell the compiler what memory they read: with GCC 12 llama.cpp loads a tile
# configuration that is not written yet, and the process dies at its first token on a CPU with AMX (ADR 11).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  cmake_language(DEFER CALL target_compile_options ggml-cpu PRIVATE -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
endif()
