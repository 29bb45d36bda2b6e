#include "cryptoki/owned_mechanism.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cryptoki/parameter_pointee.h"
#include "cryptoki/unaligned.h"

namespace p11ha::cryptoki {
namespace {

constexpr std::size_t kAlignment = 16;

constexpr std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// How much memory everything below the structure needs. False: beyond the bounds, or not what it should be.
bool measure(const ParameterShape& shape, const std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
             std::size_t& total) {
  for (const ParameterField& field : shape.fields) {
    Pointee pointee;
    const Resolved resolved = resolve(field, base, parent, pointee);
    if (resolved == Resolved::Invalid) return false;
    if (resolved == Resolved::NotAPointer || pointee.data == nullptr) continue;
    total += aligned(pointee.size);
    if (total > kMaxParameter || depth == kMaxParameterDepth) return false;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      if (!measure(*pointee.shape, pointee.data + i * pointee.shape->size, base, depth + 1, total)) return false;
    }
  }
  return true;
}

// Memory measured before; an application that changes its parameter meanwhile finds no more of it.
struct Arena {
  std::uint8_t* next;
  std::size_t room;
  std::uint8_t* take(std::size_t size) {
    const std::size_t taken = aligned(size);
    if (taken > room) return nullptr;
    room -= taken;
    return std::exchange(next, next + taken);
  }
};

// Turns the pointers of a structure already copied into pointers to copies.
bool copyBelow(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, std::size_t depth,
               Arena& arena) {
  for (const ParameterField& field : shape.fields) {
    // Only what the member makes shall show as made by it.
    if (field.kind == FieldKind::NewHandle) store<CK_OBJECT_HANDLE>(base + field.offset, CK_INVALID_HANDLE);
    Pointee pointee;
    const Resolved resolved = resolve(field, base, parent, pointee);
    if (resolved == Resolved::Invalid || depth > kMaxParameterDepth) return false;
    if (resolved == Resolved::NotAPointer) continue;
    if (pointee.data == nullptr) {
      store<void*>(base + field.offset, nullptr);  // where it is switched off, the application's may point anywhere
      continue;
    }
    std::uint8_t* const copy = arena.take(pointee.size);
    if (copy == nullptr) return false;
    if (field.direction == Direction::Out) {
      std::memset(copy, 0, pointee.size);
    } else {
      std::memcpy(copy, pointee.data, pointee.size);
    }
    store(base + field.offset, copy);
    for (std::size_t i = 0; i < pointee.count; ++i) {
      if (!copyBelow(*pointee.shape, copy + i * pointee.shape->size, base, depth + 1, arena)) return false;
    }
  }
  return true;
}

// Memory copied as it is from one place to another.
struct Moved {
  const std::uint8_t* from;
  std::uint8_t* to;
  std::size_t size;
};

// Turns the pointers of a structure, copied along with what it points to, into pointers to where that is now. A member
// may have written lengths since they were checked.
void relocate(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, const Moved& moved) {
  for (const ParameterField& field : shape.fields) {
    Pointee pointee;
    const Resolved resolved = resolve(field, base, parent, pointee);
    if (resolved == Resolved::NotAPointer) continue;
    const auto offset = reinterpret_cast<std::uintptr_t>(pointee.data) - reinterpret_cast<std::uintptr_t>(moved.from);
    const bool inside = resolved == Resolved::Pointer && pointee.data != nullptr && offset <= moved.size;
    std::uint8_t* const now = inside ? moved.to + offset : nullptr;
    store(base + field.offset, now);
    if (!inside || pointee.size > moved.size - offset) continue;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      relocate(*pointee.shape, now + i * pointee.shape->size, base, moved);
    }
  }
}

bool same(const ParameterShape& shape, const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* parentA,
          const std::uint8_t* parentB) {
  for (const ParameterField& field : shape.fields) {
    Pointee x;
    Pointee y;
    const Resolved resolved = resolve(field, a, parentA, x);
    if (resolved == Resolved::Invalid || resolve(field, b, parentB, y) != resolved) return false;
    if (resolved == Resolved::NotAPointer) {
      if (field.kind == FieldKind::NewHandle || (!switchedOn(field, a) && !switchedOn(field, b))) continue;
      if (std::memcmp(a + field.offset, b + field.offset, field.size) != 0) return false;
      continue;
    }
    if ((x.data == nullptr) != (y.data == nullptr) || x.size != y.size || x.shape != y.shape) return false;
    if (x.data == nullptr || field.direction == Direction::Out) continue;
    if (x.shape == nullptr) {
      if (std::memcmp(x.data, y.data, x.size) != 0) return false;
      continue;
    }
    for (std::size_t i = 0; i < x.count; ++i) {
      const std::size_t at = i * x.shape->size;
      if (!same(*x.shape, x.data + at, y.data + at, a, b)) return false;
    }
  }
  return true;
}

bool writeIfChanged(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  if (std::memcmp(to, from, size) == 0) return false;
  std::memcpy(to, from, size);
  return true;
}

bool allZero(const std::uint8_t* data, std::size_t size) {
  return std::all_of(data, data + size, [](std::uint8_t byte) { return byte == 0; });
}

// Backwards, so that a count still tells the application's room when what it counts is written.
bool writeBackBelow(const ParameterShape& shape, const std::uint8_t* ours, std::uint8_t* theirs,
                    const std::uint8_t* parentOurs, const std::uint8_t* parentTheirs) {
  bool wrote = false;
  for (std::size_t index = shape.fields.size(); index-- > 0;) {
    const ParameterField& field = shape.fields[index];
    const bool newHandle = field.kind == FieldKind::NewHandle;
    if (newHandle && load<CK_OBJECT_HANDLE>(ours + field.offset) == CK_INVALID_HANDLE) continue;
    if (newHandle || field.kind == FieldKind::Length) {
      wrote |= writeIfChanged(theirs + field.offset, ours + field.offset, field.size);
      continue;
    }
    if (field.direction == Direction::In && pointsToBytes(field.kind)) continue;
    Pointee from;
    Pointee to;
    if (resolve(field, ours, parentOurs, from) != Resolved::Pointer) continue;
    if (resolve(field, theirs, parentTheirs, to) != Resolved::Pointer) continue;
    if (from.data == nullptr || to.data == nullptr || from.shape != to.shape) continue;
    if (from.shape != nullptr) {
      for (std::size_t i = 0; i < std::min(from.count, to.count); ++i) {
        const std::size_t at = i * from.shape->size;
        wrote |= writeBackBelow(*from.shape, from.data + at, to.data + at, ours, theirs);
      }
      continue;
    }
    if (field.direction == Direction::In) continue;
    const std::size_t size = std::min(from.size, to.size);
    // Zeros are what an Out field began with, unless a count says that they are an answer.
    if (field.direction == Direction::Out && field.kind != FieldKind::Counted && allZero(from.data, size)) continue;
    wrote |= writeIfChanged(to.data, from.data, size);
  }
  return wrote;
}

using Visitor = void (*)(void*, CK_OBJECT_HANDLE&);

void visitBelow(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent, FieldKind kind,
                Visitor visitor, void* context) {
  for (const ParameterField& field : shape.fields) {
    if (field.kind == kind && switchedOn(field, base)) {
      auto handle = load<CK_OBJECT_HANDLE>(base + field.offset);
      if (handle == CK_INVALID_HANDLE) continue;
      visitor(context, handle);
      store(base + field.offset, handle);
      continue;
    }
    Pointee pointee;
    if (resolve(field, base, parent, pointee) != Resolved::Pointer || pointee.data == nullptr) continue;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      visitBelow(*pointee.shape, pointee.data + i * pointee.shape->size, base, kind, visitor, context);
    }
  }
}

bool names(const ParameterShape& shape, const std::uint8_t* base, const std::uint8_t* parent) {
  if (!shape.handles) return false;
  for (const ParameterField& field : shape.fields) {
    if (field.kind == FieldKind::Handle) {
      if (switchedOn(field, base) && load<CK_OBJECT_HANDLE>(base + field.offset) != CK_INVALID_HANDLE) return true;
      continue;
    }
    Pointee pointee;
    if (resolve(field, base, parent, pointee) != Resolved::Pointer || pointee.data == nullptr) continue;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      if (names(*pointee.shape, pointee.data + i * pointee.shape->size, base)) return true;
    }
  }
  return false;
}

bool generates(const ParameterShape& shape, const std::uint8_t* base) {
  return std::any_of(shape.fields.begin(), shape.fields.end(), [base](const ParameterField& field) {
    return field.kind == FieldKind::Generator && load<CK_ULONG>(base + field.offset) != CKG_NO_GENERATE;
  });
}

std::uint8_t* bytes(CK_MECHANISM& mechanism) { return reinterpret_cast<std::uint8_t*>(&mechanism); }
const std::uint8_t* bytes(const CK_MECHANISM& mechanism) { return reinterpret_cast<const std::uint8_t*>(&mechanism); }

}  // namespace

OwnedMechanism::OwnedMechanism(const OwnedMechanism& other) { *this = other; }

OwnedMechanism& OwnedMechanism::operator=(const OwnedMechanism& other) {
  if (this == &other) return *this;
  clear();
  if (other.used_ > kInline) heap_.reserve(other.used_);  // all that can fail comes before any change
  takeCopy(other);
  return *this;
}

OwnedMechanism::OwnedMechanism(OwnedMechanism&& other) noexcept { *this = std::move(other); }

OwnedMechanism& OwnedMechanism::operator=(OwnedMechanism&& other) noexcept {
  if (this == &other) return *this;
  clear();
  if (other.used_ > kInline) {
    mechanism_ = other.mechanism_;
    shape_ = other.shape_;
    memberWrote_ = other.memberWrote_;
    used_ = std::exchange(other.used_, 0);  // its memory is ours to wipe
    heap_ = std::move(other.heap_);
  } else {
    takeCopy(other);
  }
  other.clear();
  return *this;
}

void OwnedMechanism::takeCopy(const OwnedMechanism& other) {
  if (other.used_ > kInline) {
    heap_.assign(other.heap_.begin(), other.heap_.begin() + static_cast<std::ptrdiff_t>(other.used_));
  } else {
    std::copy_n(other.inline_.begin(), other.used_, inline_.begin());
  }
  mechanism_ = other.mechanism_;
  shape_ = other.shape_;
  used_ = other.used_;
  memberWrote_ = other.memberWrote_;
  if (used_ == 0) return;
  relocate(*shape_, bytes(mechanism_), bytes(mechanism_),
           {other.used_ > kInline ? other.heap_.data() : other.inline_.data(),
            used_ > kInline ? heap_.data() : inline_.data(), used_});
}

CK_RV OwnedMechanism::assignMessage(CK_MECHANISM_TYPE type, void* parameter, CK_ULONG length) {
  return length == 0 ? assign({type, nullptr, 0}) : assignDeep({type, parameter, length}, messageParameterShape());
}

CK_RV OwnedMechanism::assignDeep(const CK_MECHANISM& mechanism, const ParameterShape& shape) {
  clear();
  CK_MECHANISM copy = mechanism;
  Arena arena{inline_.data(), kInline};
  const bool fits = copyBelow(shape, bytes(copy), bytes(copy), 0, arena);
  used_ = kInline - arena.room;
  if (!fits) {
    // Measured only now: most fit.
    clear();
    copy = mechanism;
    std::size_t total = 0;
    if (!measure(shape, bytes(copy), bytes(copy), 0, total) || total <= kInline) return CKR_MECHANISM_PARAM_INVALID;
    if (heap_.size() < total) {
      heap_.clear();  // before it grows: what is in it is wiped already and need not be moved
      heap_.resize(total);
    }
    arena = {heap_.data(), total};
    used_ = total;
    if (!copyBelow(shape, bytes(copy), bytes(copy), 0, arena)) {
      clear();
      return CKR_MECHANISM_PARAM_INVALID;
    }
  }
  mechanism_ = copy;
  shape_ = &shape;
  return CKR_OK;
}

void OwnedMechanism::wipe() {
  base::wipe(used_ > kInline ? heap_.data() : inline_.data(), used_);
  used_ = 0;
}

bool OwnedMechanism::writeParameterBack(CK_MECHANISM& application) {
  if (application.mechanism != mechanism_.mechanism) return false;
  if (!writeBackBelow(*shape_, bytes(mechanism_), bytes(application), bytes(mechanism_), bytes(application)))
    return false;
  memberWrote_ = true;
  return true;
}

bool OwnedMechanism::sameAs(const CK_MECHANISM& application) const {
  if (application.mechanism != mechanism_.mechanism) return false;
  if (used_ == 0) return application.ulParameterLen == 0;
  return same(*shape_, bytes(mechanism_), bytes(application), bytes(mechanism_), bytes(application));
}

void OwnedMechanism::visit(FieldKind kind, Visitor visitor, void* context) {
  if (used_ != 0) visitBelow(*shape_, bytes(mechanism_), bytes(mechanism_), kind, visitor, context);
}

bool OwnedMechanism::findsHandles() const { return names(*shape_, bytes(mechanism_), bytes(mechanism_)); }

bool OwnedMechanism::pinned() const {
  if (memberWrote_) return true;
  if (used_ == 0) return false;
  Pointee pointee;
  for (const ParameterField& field : shape_->fields) {
    if (resolve(field, bytes(mechanism_), bytes(mechanism_), pointee) != Resolved::Pointer || pointee.shape == nullptr)
      continue;
    if (generates(*pointee.shape, pointee.data)) return true;
  }
  return false;
}

}  // namespace p11ha::cryptoki
