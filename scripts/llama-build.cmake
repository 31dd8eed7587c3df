# Read by CMake at the end of llama.cpp's project() call (CMAKE_PROJECT_llama.cpp_INCLUDE, see the Makefile).
# llama-cpp-python forces the "common" library on, though its Python side never loads it: leaving it out makes the
# build shorter and the installed package smaller. A normal variable hides the forced cache entry.
set(LLAMA_BUILD_COMMON OFF)
