#include "encoder_stages_of.hpp"

namespace edgeperso {
const Stages scalar_stages = stages_here;
}  // namespace edgeperso
