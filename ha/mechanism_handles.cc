#include "ha/mechanism_handles.h"

namespace p11ha::ha {

bool namesObjects(const cryptoki::OwnedMechanism& mechanism) { return mechanism.namesHandles(); }

std::optional<cryptoki::OwnedMechanism> translate(const cryptoki::OwnedMechanism& mechanism, Group& group,
                                                  Catalog& catalog, GroupMember& member, std::uint32_t epoch) {
  cryptoki::OwnedMechanism own = mechanism;
  bool absent = false;
  own.forEachHandle([&](CK_OBJECT_HANDLE& handle) {
    const ObjectPtr object = group.objects.find(handle);
    // One that we do not know the member shall refuse.
    handle = object == nullptr ? CK_INVALID_HANDLE : catalog.handleOn(object, member, epoch);
    if (object != nullptr && handle == CK_INVALID_HANDLE) absent = true;
  });
  if (absent) return std::nullopt;
  return own;
}

}  // namespace p11ha::ha
