#include "ha/object_table.h"

namespace p11ha::ha {
namespace {

// One counter for the process, so that no handle of an earlier C_Initialize comes again either.
std::atomic<CK_OBJECT_HANDLE> nextHandle{1};

}  // namespace

ObjectPtr ObjectTable::create(CK_SESSION_HANDLE owner, Identity identity) {
  const CK_OBJECT_HANDLE handle = nextHandle.fetch_add(1, std::memory_order_relaxed);
  auto object = std::make_shared<Object>(handle, owner, std::move(identity));
  Shard& own = shard(handle);
  base::Lock lock(own.mutex);
  own.objects.emplace(handle, object);
  return object;
}

ObjectPtr ObjectTable::find(CK_OBJECT_HANDLE handle) const {
  const Shard& own = shard(handle);
  base::Lock lock(own.mutex);
  const auto found = own.objects.find(handle);
  return found == own.objects.end() ? nullptr : found->second;
}

bool ObjectTable::bind(const ObjectPtr& object, unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle,
                       Holding holding) {
  if (!object->bind(member, epoch, handle, holding)) return false;
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  reverse.objects[handle] = object;
  return true;
}

ObjectPtr ObjectTable::findAt(unsigned member, CK_OBJECT_HANDLE handle) const {
  const Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  const auto found = reverse.objects.find(handle);
  return found == reverse.objects.end() ? nullptr : found->second;
}

void ObjectTable::hide(unsigned member, CK_OBJECT_HANDLE handle) {
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  reverse.objects[handle] = nullptr;
}

void ObjectTable::unhide(unsigned member, CK_OBJECT_HANDLE handle) { forgetBinding(member, handle); }

bool ObjectTable::hidden(unsigned member, CK_OBJECT_HANDLE handle) const {
  const Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  const auto found = reverse.objects.find(handle);
  return found != reverse.objects.end() && found->second == nullptr;
}

bool ObjectTable::remove(const ObjectPtr& object) {
  const bool ended = object->end();
  {
    Shard& own = shard(object->handle());
    base::Lock lock(own.mutex);
    own.objects.erase(object->handle());
  }
  for (unsigned member = 0; member < kMaxMembers; ++member) {
    const CK_OBJECT_HANDLE at = object->lastAt(member);
    if (at == CK_INVALID_HANDLE) continue;
    forgetBinding(member, at, object);
  }
  return ended;
}

void ObjectTable::forgetMember(unsigned member) {
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  reverse.objects.clear();
}

void ObjectTable::forgetHidden(unsigned member) {
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  std::erase_if(reverse.objects, [](const auto& entry) { return entry.second == nullptr; });
}

void ObjectTable::forgetBinding(unsigned member, CK_OBJECT_HANDLE handle) {
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  reverse.objects.erase(handle);
}

void ObjectTable::forgetBinding(unsigned member, CK_OBJECT_HANDLE handle, const ObjectPtr& object) {
  Reverse& reverse = reverse_[member];
  base::Lock lock(reverse.mutex);
  const auto found = reverse.objects.find(handle);
  if (found != reverse.objects.end() && found->second == object) reverse.objects.erase(found);
}

std::vector<ObjectPtr> ObjectTable::all() const {
  std::vector<ObjectPtr> objects;
  for (const Shard& part : shards_) {
    base::Lock lock(part.mutex);
    for (const auto& [handle, object] : part.objects) objects.push_back(object);
  }
  return objects;
}

std::vector<ObjectPtr> ObjectTable::removeIf(const std::function<bool(const Object&)>& condition) {
  std::vector<ObjectPtr> removed;
  for (const ObjectPtr& object : all()) {
    if (condition(*object) && remove(object)) removed.push_back(object);
  }
  return removed;
}

}  // namespace p11ha::ha
