// What an application does to objects, at random.
#pragma once

#include <span>
#include <string_view>

#include "testbed/history/workspace.h"

namespace p11ha::history {

/// Of a CKA_ID, in bytes.
inline constexpr std::size_t kIdSize = 8;

struct Operation {
  std::string_view name;
  std::size_t weight;            // how often, compared with the others
  bool (*run)(Workspace& work);  // false: there is nothing to do it to
};

/// Those that make objects: create, generate, pair, unwrap, derive, copy.
std::span<const Operation> creations();
/// Those that change or end them: set, destroy.
std::span<const Operation> changes();

}  // namespace p11ha::history
