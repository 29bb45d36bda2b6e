// What a domain report says, for people.
#pragma once

#include <string>

#include "ha/domain/domain.h"

namespace p11ha::cli {

/// A line a member, and what it all amounts to. Pure.
std::string joinText(const ha::domain::Report& report);
std::string statusText(const ha::domain::Report& report);

/// 0: as was asked for; 1: not, or not for all.
int exitStatus(const ha::domain::Report& report);

}  // namespace p11ha::cli
