// What a domain report says, for people.
#pragma once

#include <string>

#include "ha/domain/domain.h"

namespace p11ha::cli {

/// A line a member, and what it all amounts to. Pure.
std::string joinText(const ha::domain::Report& report);

}  // namespace p11ha::cli
