// One workload, run under callgrind.
#pragma once

#include "bench/token.h"

namespace p11ha::bench {

/// Runs the workload `calls` times on this thread with callgrind collecting, after some without. The error is ready to
/// be shown; any call that does not answer CKR_OK is one. Without callgrind nothing is counted.
std::string runCounted(const Token::Spec& spec, const Workload& workload, unsigned long calls);

}  // namespace p11ha::bench
