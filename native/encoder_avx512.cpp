// Compiled with flags of its own (CMakeLists.txt); without them there is nothing here.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "encoder_stages_of.hpp"

namespace edgeperso {
const Stages* avx512_stages() { return &stages_here; }
}  // namespace edgeperso

#else

#include "encoder_stages.hpp"

namespace edgeperso {
const Stages* avx512_stages() { return nullptr; }
}  // namespace edgeperso

#endif
