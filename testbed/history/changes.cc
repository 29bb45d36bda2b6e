#include "testbed/history/operations.h"

namespace p11ha::history {
namespace {

bool setOn(Workspace& work, const ObjectKey& key, Attributes to) {
  const auto handle = work.handleOf(key);
  if (!handle) return false;
  auto list = templateOf(to);
  work.call("set", {effect("set", key).put(to)}, [&] {
    return work.token().functions().C_SetAttributeValue(work.token().session(), *handle, list.data(), list.size());
  });
  return true;
}

// The other half of a pair, if it is there.
std::optional<ObjectKey> otherHalf(const Workspace& work, const ObjectKey& key) {
  if (key.objectClass != CKO_PRIVATE_KEY && key.objectClass != CKO_PUBLIC_KEY) return std::nullopt;
  const ObjectKey other{key.name, key.objectClass == CKO_PRIVATE_KEY ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY};
  const auto found = work.story().objects().find(other);
  if (found == work.story().objects().end() || work.story().presence(found->second) != Presence::Must) {
    return std::nullopt;
  }
  return other;
}

bool set(Workspace& work) {
  const auto key = work.pick(Workspace::Whose::Any, [](const ObjectKey&, const ObjectStory&) { return true; });
  if (!key) return false;
  // Of data nothing but the label: SoftHSM 2.6.1 lets nobody change the rest.
  if (key->objectClass != CKO_DATA && work.oneIn(2)) {
    // Both halves, as whoever wants to find one by the other does.
    const Attributes id{{CKA_ID, work.bytes(kIdSize)}};
    const auto other = otherHalf(work, *key);
    const bool done = setOn(work, *key, id);
    if (other) setOn(work, *other, id);
    return done;
  }
  return setOn(work, *key, {{CKA_LABEL, ofText(key->name + "." + std::to_string(work.asked()))}});
}

bool destroyOne(Workspace& work, const ObjectKey& key) {
  const auto handle = work.handleOf(key);
  if (!handle) return false;
  work.call("destroy", {effect("destroy", key)},
            [&] { return work.token().functions().C_DestroyObject(work.token().session(), *handle); });
  return true;
}

bool destroy(Workspace& work) {
  const auto key = work.pick(Workspace::Whose::Any, [](const ObjectKey&, const ObjectStory&) { return true; });
  if (!key) return false;
  const auto other = otherHalf(work, *key);
  const bool done = destroyOne(work, *key);
  if (other) destroyOne(work, *other);
  return done;
}

constexpr Operation kChanges[] = {{"set", 20, &set}, {"destroy", 18, &destroy}};

}  // namespace

std::span<const Operation> changes() { return kChanges; }

}  // namespace p11ha::history
