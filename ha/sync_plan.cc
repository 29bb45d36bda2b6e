#include "ha/sync_plan.h"

#include <bit>

namespace p11ha::ha {

std::vector<CopyAction> plan(const std::vector<SyncObject>& objects) {
  std::vector<CopyAction> actions;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const SyncObject& object = objects[i];
    if (!object.alive || object.onTarget || object.sources == 0) continue;
    actions.push_back({i, static_cast<unsigned>(std::countr_zero(object.sources))});
  }
  return actions;
}

}  // namespace p11ha::ha
