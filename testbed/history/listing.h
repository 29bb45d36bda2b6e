// What a member's store holds, read with plain PKCS #11 and none of what p11ha is made of.
#pragma once

#include "testbed/history/line.h"
#include "testbed/history/token.h"

namespace p11ha::history {

/// A line for each object: `object class=C a.* proof=` with what its key answered, or `failed=RV`. In order.
std::vector<Line> listObjectsOf(const Token& token);

}  // namespace p11ha::history
