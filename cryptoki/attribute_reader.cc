#include "cryptoki/attribute_reader.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cryptoki/attribute.h"

namespace p11ha::cryptoki {
namespace {

constexpr int kAttempts = 4;

// What a member may make us allocate for one object.
struct Budget {
  std::size_t attributes = kMaxTemplateAttributes;
  std::size_t bytes = kMaxTemplateValues;
};

// The buffers of one call: grown by what the call before it answered.
class Query {
 public:
  explicit Query(std::span<const CK_ATTRIBUTE_TYPE> types) : attributes_(types.size()), buffers_(types.size()) {
    for (std::size_t i = 0; i < types.size(); ++i) attributes_[i] = {types[i], nullptr, 0};
  }
  explicit Query(std::size_t count) : attributes_(count, CK_ATTRIBUTE{}), buffers_(count) {}

  CK_ATTRIBUTE* data() { return attributes_.data(); }
  std::size_t size() const { return attributes_.size(); }

  enum class Next : std::uint8_t { Done, Again, Absurd };

  // Gives room to whatever has a length and no value yet. Again: something was given room, so that one more call is
  // due.
  Next makeRoom(std::size_t depth, Budget& budget) {
    Next next = Next::Done;
    for (std::size_t i = 0; i < attributes_.size(); ++i) {
      CK_ATTRIBUTE& attribute = attributes_[i];
      Buffer& buffer = buffers_[i];
      if (attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION) continue;
      if (buffer.nested) {
        const Next inner = buffer.nested->makeRoom(depth + 1, budget);
        if (inner == Next::Absurd) return inner;
        if (inner == Next::Again) next = inner;
      } else if (attribute.pValue == nullptr && attribute.ulValueLen != 0) {
        if (attribute.ulValueLen > std::min(kMaxAttributeValue, budget.bytes)) return Next::Absurd;
        budget.bytes -= attribute.ulValueLen;
        if (isTemplateAttribute(attribute.type)) {
          const std::size_t count = attribute.ulValueLen / sizeof(CK_ATTRIBUTE);
          if (attribute.ulValueLen % sizeof(CK_ATTRIBUTE) != 0 || count > budget.attributes ||
              depth == kMaxTemplateDepth) {
            return Next::Absurd;
          }
          budget.attributes -= count;
          buffer.nested = std::make_unique<Query>(count);
          attribute.pValue = buffer.nested->data();
        } else {
          buffer.bytes.resize(attribute.ulValueLen);
          attribute.pValue = buffer.bytes.data();
        }
        next = Next::Again;
      }
    }
    return next;
  }

  // A length that was there in the call before and is not now: the value outgrew its room.
  bool lostValues() const {
    for (std::size_t i = 0; i < attributes_.size(); ++i) {
      if (attributes_[i].ulValueLen == CK_UNAVAILABLE_INFORMATION && attributes_[i].pValue != nullptr) return true;
      if (buffers_[i].nested && buffers_[i].nested->lostValues()) return true;
    }
    return false;
  }

  // False: a length beyond the room that was given.
  bool moveTo(Template& out, std::size_t count) const {
    if (count > attributes_.size()) return false;
    for (std::size_t i = 0; i < count; ++i) {
      const CK_ATTRIBUTE& attribute = attributes_[i];
      const Buffer& buffer = buffers_[i];
      if (attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION) continue;
      if (buffer.nested) {
        Template inner;
        if (!buffer.nested->moveTo(inner, attribute.ulValueLen / sizeof(CK_ATTRIBUTE))) return false;
        out.addTemplate(attribute.type, std::move(inner));
      } else if (isTemplateAttribute(attribute.type)) {
        out.addTemplate(attribute.type, Template());
      } else {
        if (attribute.ulValueLen > buffer.bytes.size()) return false;
        out.addBytes(attribute.type, std::span(buffer.bytes).first(attribute.ulValueLen));
      }
    }
    return true;
  }

 private:
  struct Buffer {
    base::SecureBytes bytes;
    std::unique_ptr<Query> nested;
  };
  std::vector<CK_ATTRIBUTE> attributes_;
  std::vector<Buffer> buffers_;
};

// How long a value of that kind can be; nothing where only the member knows.
std::optional<std::size_t> fixedLength(CK_ATTRIBUTE_TYPE type) {
  const AttributeInfo* const info = attributeInfo(type);
  if (info == nullptr) return std::nullopt;
  switch (info->kind) {
    case AttributeKind::Bool:
      return sizeof(CK_BBOOL);
    case AttributeKind::Ulong:
      return sizeof(CK_ULONG);
    case AttributeKind::Date:
      return sizeof(CK_DATE);
    default:
      return std::nullopt;
  }
}

// In one call, where nobody need ask for lengths first. Nothing where one has to, as not every module leaves alone what
// lies behind a room that is too small (NSS softokn 3.87).
std::optional<Outcome> readIntoFixedRoom(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                         std::span<const CK_ATTRIBUTE_TYPE> types, Template& out) {
  std::vector<CK_ATTRIBUTE> read;
  std::size_t length = 0;
  for (const CK_ATTRIBUTE_TYPE type : types) {
    const auto fixed = fixedLength(type);
    if (!fixed) return std::nullopt;
    read.push_back({type, nullptr, *fixed});
    length += *fixed;
  }
  base::SecureBytes room(length);
  std::size_t next = 0;
  for (CK_ATTRIBUTE& attribute : read) {
    attribute.pValue = room.data() + next;
    next += attribute.ulValueLen;
  }
  const std::vector<CK_ATTRIBUTE> given = read;
  Outcome outcome = member.execute(makeCall<Fn::GetAttributeValue>(session, object, read.data(), read.size()));
  if (outcome.fate != Fate::Answered || !carriesValues(outcome.rv)) return outcome;
  if (outcome.rv == CKR_BUFFER_TOO_SMALL) return std::nullopt;
  Template values;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (read[i].ulValueLen == CK_UNAVAILABLE_INFORMATION) continue;
    if (read[i].ulValueLen > given[i].ulValueLen) return std::nullopt;
    values.addBytes(read[i].type, {static_cast<const std::uint8_t*>(given[i].pValue), read[i].ulValueLen});
  }
  if (!values.empty() || types.empty()) outcome.rv = CKR_OK;
  out = std::move(values);
  return outcome;
}

// All named attributes together.
Outcome readAtOnce(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                   std::span<const CK_ATTRIBUTE_TYPE> types, Template& out) {
  if (const auto outcome = readIntoFixedRoom(member, session, object, types, out)) return *outcome;
  Outcome outcome;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Query query(types);
    Budget budget;
    Query::Next next = Query::Next::Again;
    while (next == Query::Next::Again) {
      outcome = member.execute(makeCall<Fn::GetAttributeValue>(session, object, query.data(), query.size()));
      if (outcome.fate != Fate::Answered || !carriesValues(outcome.rv)) return outcome;
      next = query.makeRoom(1, budget);
    }
    if (next == Query::Next::Absurd) return {CKR_GENERAL_ERROR, Fate::Answered};
    if (outcome.rv == CKR_BUFFER_TOO_SMALL || query.lostValues()) continue;
    Template read;
    if (!query.moveTo(read, query.size())) return {CKR_GENERAL_ERROR, Fate::Answered};
    if (!read.empty() || types.empty()) outcome.rv = CKR_OK;
    out = std::move(read);
    return outcome;
  }
  return {CKR_BUFFER_TOO_SMALL, Fate::Answered};
}

bool failedOverSome(const Outcome& outcome) {
  return outcome.fate == Fate::Answered && (outcome.rv == CKR_GENERAL_ERROR || outcome.rv == CKR_FUNCTION_FAILED);
}

}  // namespace

bool carriesValues(CK_RV rv) {
  return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
         rv == CKR_BUFFER_TOO_SMALL;
}

Outcome readAttributes(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                       std::span<const CK_ATTRIBUTE_TYPE> types, Template& out) {
  out.clear();
  Outcome outcome = readAtOnce(member, session, object, types, out);
  if (!failedOverSome(outcome) || types.size() < 2) return outcome;

  Template read;
  for (const CK_ATTRIBUTE_TYPE& type : types) {
    Template one;
    const Outcome each = readAtOnce(member, session, object, {&type, 1}, one);
    if (each.fate != Fate::Answered) return each;
    if (each.rv == CKR_OK) {
      read.append(one);
    } else if (!carriesValues(each.rv) && !failedOverSome(each)) {
      return each;
    }
  }
  if (read.empty()) return outcome;
  out = std::move(read);
  return {};
}

Outcome readForCopy(Member& member, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS objectClass,
                    CopyValue value, Template& out) {
  out.clear();
  Template read;
  Outcome outcome = readAttributes(member, session, object, copyAttributes(objectClass), read);
  if (outcome.rv != CKR_OK || outcome.fate != Fate::Answered) return outcome;

  Template material;
  if (value == CopyValue::With) {
    const auto types = valueAttributes(objectClass, read.ulong(CKA_KEY_TYPE).value_or(CK_UNAVAILABLE_INFORMATION));
    outcome = readAttributes(member, session, object, types, material);
    if (outcome.rv != CKR_OK || outcome.fate != Fate::Answered) return outcome;
    if (!material.has(CKA_VALUE) && !material.has(CKA_PRIVATE_EXPONENT)) return {CKR_ATTRIBUTE_SENSITIVE};
  }

  Template last;
  for (const CK_ATTRIBUTE& attribute : read.attributes()) {
    if (attribute.ulValueLen == 0) continue;
    const AttributeInfo* info = attributeInfo(attribute.type);
    (info != nullptr && info->part == CopyPart::Last ? last : out).appendFrom(read, attribute.type);
  }
  for (const CK_ATTRIBUTE& attribute : material.attributes()) {
    if (attribute.ulValueLen != 0) out.appendFrom(material, attribute.type);
  }
  out.append(last);
  return outcome;
}

}  // namespace p11ha::cryptoki
