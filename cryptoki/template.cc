#include "cryptoki/template.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cryptoki/attribute.h"

namespace p11ha::cryptoki {
namespace {

std::span<const std::uint8_t> bytesOf(std::span<const CK_ULONG> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

base::SecureBytes secure(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

base::SecureBytes boolBytes(bool value) { return {static_cast<std::uint8_t>(value ? CK_TRUE : CK_FALSE)}; }

}  // namespace

// Shared by a template and those nested in it: nested templates may all point to the same memory, so that their number
// alone bounds nothing.
struct Template::Budget {
  std::size_t attributes = kMaxTemplateAttributes;
  std::size_t bytes = kMaxTemplateValues;
};

Template::Template(const Template& other) { append(other); }

Template& Template::operator=(const Template& other) {
  if (this != &other) *this = Template(other);
  return *this;
}

base::Result<Template, CK_RV> Template::copyOf(const CK_ATTRIBUTE* attributes, CK_ULONG count) {
  Budget budget;
  return copyWithin(attributes, count, 1, budget);
}

base::Result<Template, CK_RV> Template::copyWithin(const CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth,
                                                   Budget& budget) {
  if (count == 0) return Template();
  const CK_RV excess = depth == 1 ? CKR_ARGUMENTS_BAD : CKR_ATTRIBUTE_VALUE_INVALID;
  if (attributes == nullptr || depth > kMaxTemplateDepth || count > budget.attributes) return base::Failure{excess};
  budget.attributes -= count;

  Template copy;
  copy.list_.reserve(count);
  copy.values_.reserve(count);
  for (const CK_ATTRIBUTE& attribute : std::span(attributes, count)) {
    const CK_ULONG size = attribute.ulValueLen;
    if (size > std::min(kMaxAttributeValue, budget.bytes) || (attribute.pValue == nullptr && size != 0)) {
      return base::Failure{CK_RV{CKR_ATTRIBUTE_VALUE_INVALID}};
    }
    budget.bytes -= size;
    if (isTemplateAttribute(attribute.type)) {
      if (size % sizeof(CK_ATTRIBUTE) != 0) return base::Failure{CK_RV{CKR_ATTRIBUTE_VALUE_INVALID}};
      auto nested = copyWithin(static_cast<const CK_ATTRIBUTE*>(attribute.pValue), size / sizeof(CK_ATTRIBUTE),
                               depth + 1, budget);
      if (!nested) return nested;
      copy.addTemplate(attribute.type, std::move(nested).value());
    } else {
      copy.addBytes(attribute.type, {static_cast<const std::uint8_t*>(attribute.pValue), size});
    }
  }
  return copy;
}

void Template::addBool(CK_ATTRIBUTE_TYPE type, bool value) { add(type, {boolBytes(value), nullptr}); }
void Template::addUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value) { addUlongs(type, {&value, 1}); }
void Template::addUlongs(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values) { addBytes(type, bytesOf(values)); }
void Template::addBytes(CK_ATTRIBUTE_TYPE type, std::span<const std::uint8_t> value) {
  add(type, {secure(value), nullptr});
}
void Template::addText(CK_ATTRIBUTE_TYPE type, std::string_view value) {
  add(type, {{value.begin(), value.end()}, nullptr});
}
void Template::addTemplate(CK_ATTRIBUTE_TYPE type, Template value) {
  Value nested;
  nested.nested = std::make_unique<Template>(std::move(value));
  add(type, std::move(nested));
}

void Template::append(const Template& other) {
  const std::size_t count = other.list_.size();  // before the first is added: other may be this template
  for (std::size_t i = 0; i < count; ++i) appendAt(other, i);
}

void Template::appendFrom(const Template& other, CK_ATTRIBUTE_TYPE type) {
  const std::size_t count = other.list_.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (other.list_[i].type == type) appendAt(other, i);
  }
}

void Template::appendAt(const Template& other, std::size_t index) {
  const Value& value = other.values_[index];
  Value copy;
  copy.bytes = value.bytes;
  if (value.nested) copy.nested = std::make_unique<Template>(*value.nested);
  add(other.list_[index].type, std::move(copy));
}

void Template::setBool(CK_ATTRIBUTE_TYPE type, bool value) { set(type, {boolBytes(value), nullptr}); }
void Template::setUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value) { setUlongs(type, {&value, 1}); }
void Template::setUlongs(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values) { setBytes(type, bytesOf(values)); }
void Template::setBytes(CK_ATTRIBUTE_TYPE type, std::span<const std::uint8_t> value) {
  set(type, {secure(value), nullptr});
}
void Template::setTemplate(CK_ATTRIBUTE_TYPE type, Template value) {
  Value nested;
  nested.nested = std::make_unique<Template>(std::move(value));
  set(type, std::move(nested));
}

bool Template::erase(CK_ATTRIBUTE_TYPE type) {
  const std::size_t before = list_.size();
  eraseAfter(type, 0);
  return list_.size() != before;
}

void Template::clear() {
  list_.clear();
  values_.clear();
}

std::size_t Template::occurrences(CK_ATTRIBUTE_TYPE type) const {
  return static_cast<std::size_t>(
      std::count_if(list_.begin(), list_.end(), [type](const CK_ATTRIBUTE& a) { return a.type == type; }));
}

std::optional<std::span<const std::uint8_t>> Template::find(CK_ATTRIBUTE_TYPE type) const {
  const auto index = indexOf(type);
  if (!index) return std::nullopt;
  const CK_ATTRIBUTE& attribute = list_[*index];
  return std::span(static_cast<const std::uint8_t*>(attribute.pValue), attribute.ulValueLen);
}

std::optional<bool> Template::boolean(CK_ATTRIBUTE_TYPE type) const {
  const auto value = find(type);
  if (!value || value->size() != sizeof(CK_BBOOL)) return std::nullopt;
  return value->front() != CK_FALSE;
}

std::optional<CK_ULONG> Template::ulong(CK_ATTRIBUTE_TYPE type) const {
  const auto value = find(type);
  if (!value || value->size() != sizeof(CK_ULONG)) return std::nullopt;
  CK_ULONG number = 0;
  std::memcpy(&number, value->data(), sizeof number);
  return number;
}

std::optional<std::vector<CK_ULONG>> Template::ulongs(CK_ATTRIBUTE_TYPE type) const {
  const auto value = find(type);
  if (!value || value->size() % sizeof(CK_ULONG) != 0) return std::nullopt;
  std::vector<CK_ULONG> numbers(value->size() / sizeof(CK_ULONG));
  if (!numbers.empty()) std::memcpy(numbers.data(), value->data(), value->size());
  return numbers;
}

const Template* Template::nested(CK_ATTRIBUTE_TYPE type) const {
  const auto index = indexOf(type);
  return index ? values_[*index].nested.get() : nullptr;
}

bool operator==(const Template& a, const Template& b) {
  if (a.list_.size() != b.list_.size()) return false;
  for (std::size_t i = 0; i < a.list_.size(); ++i) {
    const Template* x = a.values_[i].nested.get();
    const Template* y = b.values_[i].nested.get();
    if (a.list_[i].type != b.list_[i].type || a.values_[i].bytes != b.values_[i].bytes) return false;
    if ((x == nullptr) != (y == nullptr) || (x != nullptr && !(*x == *y))) return false;
  }
  return true;
}

std::optional<std::size_t> Template::indexOf(CK_ATTRIBUTE_TYPE type) const {
  for (std::size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].type == type) return i;
  }
  return std::nullopt;
}

void Template::add(CK_ATTRIBUTE_TYPE type, Value value) {
  // Room first: if memory runs out, both lists stay of one length.
  if (list_.size() == list_.capacity()) list_.reserve(list_.size() * 2 + 8);
  values_.emplace_back();
  list_.emplace_back();
  put(list_.size() - 1, type, std::move(value));
}

void Template::set(CK_ATTRIBUTE_TYPE type, Value value) {
  const auto index = indexOf(type);
  if (!index) return add(type, std::move(value));
  put(*index, type, std::move(value));
  eraseAfter(type, *index + 1);
}

void Template::put(std::size_t index, CK_ATTRIBUTE_TYPE type, Value value) {
  CK_ATTRIBUTE& attribute = list_[index];
  Value& kept = values_[index] = std::move(value);
  attribute.type = type;
  if (kept.nested) {
    attribute.pValue = kept.nested->data();
    attribute.ulValueLen = kept.nested->count() * sizeof(CK_ATTRIBUTE);
  } else {
    attribute.pValue = kept.bytes.empty() ? nullptr : kept.bytes.data();
    attribute.ulValueLen = kept.bytes.size();
  }
}

void Template::eraseAfter(CK_ATTRIBUTE_TYPE type, std::size_t first) {
  for (std::size_t i = list_.size(); i-- > first;) {
    if (list_[i].type != type) continue;
    list_.erase(list_.begin() + static_cast<std::ptrdiff_t>(i));
    values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace p11ha::cryptoki
