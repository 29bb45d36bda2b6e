#include "transport/codec/answer.h"

#include <algorithm>
#include <array>
#include <new>

#include "cryptoki/template.h"
#include "cryptoki/unaligned.h"

namespace p11ha::transport {
namespace {

using cryptoki::load;
using cryptoki::store;
using Kind = Output::Kind;

// What is there of an output.
constexpr std::uint8_t kNumber = 1;  // its length, or its value if it is a number
constexpr std::uint8_t kData = 2;
constexpr std::uint8_t kType = 4;
constexpr std::uint8_t kAllParts = kNumber | kData | kType;

// C_GetAttributeValue went through the whole template (PKCS #11 v3.0, 5.7.5).
bool wentThrough(CK_RV rv) {
  return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
         rv == CKR_BUFFER_TOO_SMALL;
}

bool isAttribute(Kind kind) { return kind == Kind::Attribute || kind == Kind::Array; }

CK_ULONG saidNumber(const Output& output) {
  if (output.kind == Kind::Number) return load<CK_ULONG>(output.data);
  return isAttribute(output.kind) ? load<CK_ATTRIBUTE>(output.length).ulValueLen : load<CK_ULONG>(output.length);
}

// Says more than there was room for, and that all is well.
bool lies(const Output& output) {
  if (output.data == nullptr || output.length == nullptr) return false;
  const CK_ULONG said = saidNumber(output);
  return said > output.capacity && said != kUnwritten && said != CK_UNAVAILABLE_INFORMATION;
}

// What the application is told. Some modules say how much room a value would need that had too little, where the
// standard wants CK_UNAVAILABLE_INFORMATION (PKCS #11 v3.0, 5.7.5): applications take it for what they can read.
CK_ULONG toldNumber(const Output& output, CK_RV rv) {
  const CK_ULONG said = saidNumber(output);
  const bool isTooMuch = isAttribute(output.kind) && output.data != nullptr && said > output.capacity;
  return isTooMuch && wentThrough(rv) ? CK_UNAVAILABLE_INFORMATION : said;
}

// The application has the room that the module lacked.
bool lacksWhatIsThere(const Output& output, CK_ULONG needed) {
  return output.kind == Kind::Sized && output.data != nullptr && needed > output.capacity && needed <= output.announced;
}

// What was written into zeroed memory, as far as that can be told.
std::size_t written(const void* data, std::size_t size) {
  const auto* const bytes = static_cast<const std::uint8_t*>(data);
  while (size != 0 && bytes[size - 1] == 0) --size;
  return size;
}

// How many bytes of the output's data go.
std::size_t sentSize(const Output& output, CK_RV rv) {
  if (output.data == nullptr || output.kind == Kind::Number || output.kind == Kind::Array) return 0;
  if (output.kind == Kind::Region) {
    const std::size_t size = output.length != nullptr
                                 ? std::min<std::size_t>(load<CK_ULONG>(output.length), output.capacity)
                                 : output.capacity;
    const bool changed =
        output.before != nullptr ? std::memcmp(output.data, output.before, size) != 0 : written(output.data, size) != 0;
    return changed ? size : 0;
  }
  const std::size_t room = output.capacity * output.element;
  if (output.kind == Kind::Filled) return rv == CKR_OK ? room : written(output.data, room);
  const CK_ULONG said = output.length != nullptr ? saidNumber(output) : 0;
  const bool all = output.kind == Kind::Attribute ? wentThrough(rv) : rv == CKR_OK;
  if (all) return said <= output.capacity ? said * output.element : 0;
  const std::size_t size = written(output.data, room);
  return (size + output.element - 1) / output.element * output.element;
}

bool sendsNumber(const Output& output, CK_RV rv) {
  switch (output.kind) {
    case Kind::Number:
      return output.data != nullptr && saidNumber(output) != kUnwritten;
    case Kind::Counted:
      return output.length != nullptr && saidNumber(output) != kUnwritten;
    case Kind::Sized:
      return output.length != nullptr && (rv == CKR_OK || saidNumber(output) != output.capacity);
    case Kind::Attribute:
    case Kind::Array:
      return wentThrough(rv) || saidNumber(output) != output.capacity;
    case Kind::Filled:
    case Kind::Region:
      break;
  }
  return false;
}

// Which outputs lie in an array of attributes beyond those that the module says are there: it may not have touched
// them.
class Arrays {
 public:
  /// Of the next output.
  bool isBeyond() {
    while (depth_ != 0 && levels_[depth_ - 1].left == 0) --depth_;
    if (depth_ == 0) return false;
    Level& level = levels_[depth_ - 1];
    --level.left;
    if (level.there == 0) return true;
    --level.there;
    return false;
  }
  /// That was an array, of which the module says that it has so many bytes.
  void enter(const Output& array, bool beyond, CK_ULONG said) {
    const std::size_t count = array.capacity / sizeof(CK_ATTRIBUTE);
    if (depth_ == levels_.size()) return;
    const bool none = beyond || said == CK_UNAVAILABLE_INFORMATION;
    levels_[depth_++] = {count, none ? 0 : std::min<std::size_t>(said / sizeof(CK_ATTRIBUTE), count)};
  }

 private:
  struct Level {
    std::size_t left = 0;
    std::size_t there = 0;
  };
  std::array<Level, cryptoki::kMaxTemplateDepth + 1> levels_{};
  std::size_t depth_ = 0;
};

void encodeOutput(const Output& output, CK_RV rv, Buffer& to) {
  const std::size_t size = sentSize(output, rv);
  const bool withNumber = sendsNumber(output, rv);
  const bool withType = output.typed && wentThrough(rv);
  to.put(static_cast<std::uint8_t>((withNumber ? kNumber : 0) | (size != 0 ? kData : 0) | (withType ? kType : 0)));
  if (withType) to.put<std::uint64_t>(load<CK_ATTRIBUTE>(output.length).type);
  if (withNumber) to.put<std::uint64_t>(toldNumber(output, rv));
  if (size == 0) return;
  to.put<std::uint64_t>(size);
  to.putBytes(output.data, size);
}

// One output of an answer.
struct Part {
  std::uint8_t parts = 0;
  CK_ULONG type = 0;
  CK_ULONG number = 0;
  std::size_t size = 0;
  const std::uint8_t* data = nullptr;

  bool has(std::uint8_t part) const { return (parts & part) != 0; }
};

Part readPart(Reader& from) {
  Part part;
  part.parts = from.get<std::uint8_t>();
  if (part.has(kType)) part.type = from.get<std::uint64_t>();
  if (part.has(kNumber)) part.number = from.get<std::uint64_t>();
  if (part.has(kData)) {
    part.size = from.get<std::uint64_t>();
    part.data = from.take(part.size);
  }
  return part;
}

// Is that an answer to what was asked?
bool fits(const Part& part, const Output& output, CK_RV rv) {
  if (part.parts > kAllParts || (part.has(kType) && !output.typed)) return false;
  if (part.has(kData) && (part.size == 0 || output.data == nullptr)) return false;
  const bool done = rv == CKR_OK;
  switch (output.kind) {
    case Kind::Number:
      return !part.has(kData) && (!part.has(kNumber) || output.data != nullptr);
    case Kind::Region:
      return !part.has(kNumber) && part.size <= output.capacity;
    case Kind::Filled:
      if (part.has(kNumber) || part.size > output.capacity) return false;
      return !done || output.data == nullptr || part.size == output.capacity;
    case Kind::Sized:
    case Kind::Counted:
    case Kind::Attribute:
    case Kind::Array:
      break;
  }
  if (part.has(kNumber) && output.length == nullptr) return false;
  if (output.kind == Kind::Array) {
    if (part.has(kData)) return false;
  } else if (part.size % output.element != 0 || part.size / output.element > output.capacity) {
    return false;
  }
  const bool isRead = done || (isAttribute(output.kind) && wentThrough(rv));
  if (!isRead || output.data == nullptr || output.length == nullptr) return true;
  // What the application will read is what came.
  if (!part.has(kNumber)) return part.size == 0 && output.kind == Kind::Counted;
  if (isAttribute(output.kind) && part.number == CK_UNAVAILABLE_INFORMATION) return part.size == 0;
  if (part.number > output.capacity) return false;
  return output.kind == Kind::Array || part.size == part.number * output.element;
}

void storeIfChanged(void* to, const void* from, std::size_t size) {
  if (std::memcmp(to, from, size) != 0) std::memcpy(to, from, size);  // an application's may be constant
}

void apply(const Part& part, const Output& output) {
  auto* const length = static_cast<std::uint8_t*>(output.length);
  if (isAttribute(output.kind)) {
    if (part.has(kType)) store<CK_ULONG>(length + offsetof(CK_ATTRIBUTE, type), part.type);
    if (part.has(kNumber)) store<CK_ULONG>(length + offsetof(CK_ATTRIBUTE, ulValueLen), part.number);
  } else if (part.has(kNumber)) {
    store<CK_ULONG>(output.kind == Kind::Number ? output.data : output.length, part.number);
  }
  if (!part.has(kData)) return;
  if (output.kind == Kind::Region) {
    storeIfChanged(output.data, part.data, part.size);
  } else {
    std::memcpy(output.data, part.data, part.size);
  }
}

}  // namespace

CK_RV encodeAnswer(CK_RV rv, const Outputs& outputs, Buffer& to) {
  for (std::size_t i = 0; rv == CKR_OK && i < outputs.size(); ++i) {
    if (outputs[i].kind != Kind::Number && lies(outputs[i])) rv = CKR_DEVICE_ERROR;
  }
  const std::size_t before = to.size();
  try {
    to.put<std::uint64_t>(rv);
    Arrays arrays;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const bool beyond = arrays.isBeyond();
      if (outputs[i].kind == Kind::Array) arrays.enter(outputs[i], beyond, toldNumber(outputs[i], rv));
      if (beyond) {
        to.put<std::uint8_t>(0);
      } else {
        encodeOutput(outputs[i], rv, to);
      }
    }
  } catch (const std::bad_alloc&) {
    to.truncate(before);
    throw;
  }
  return rv;
}

bool decodeAnswer(Reader& from, const Outputs& outputs, CK_RV& rv) {
  rv = from.get<std::uint64_t>();
  // Looked through to its end before anything is written.
  Reader ahead = from;
  bool roomIsThere = false;
  Arrays arrays;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Part part = readPart(ahead);
    const bool beyond = arrays.isBeyond();
    if (ahead.failed() || !(beyond ? part.parts == 0 : fits(part, outputs[i], rv))) return false;
    if (outputs[i].kind == Kind::Array)
      arrays.enter(outputs[i], beyond, part.has(kNumber) ? part.number : outputs[i].capacity);
    roomIsThere |= part.has(kNumber) && lacksWhatIsThere(outputs[i], part.number);
  }
  if (ahead.failed()) return false;
  if (rv == CKR_BUFFER_TOO_SMALL && roomIsThere) {
    rv = CKR_HOST_MEMORY;  // the limits are in between
    from = ahead;
    return true;
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) apply(readPart(from), outputs[i]);
  return true;
}

}  // namespace p11ha::transport
