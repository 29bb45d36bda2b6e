// Templates that own what they point to, so that they outlive the call that brought them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secure_bytes.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// Bounds of a template: whatever is beyond is no template but a mistake or an attack.
inline constexpr std::size_t kMaxTemplateAttributes = 1024;    // nested ones included
inline constexpr std::size_t kMaxTemplateDepth = 4;            // of WRAP_TEMPLATE within WRAP_TEMPLATE
inline constexpr std::size_t kMaxAttributeValue = 16UL << 20;  // bytes
inline constexpr std::size_t kMaxTemplateValues = 64UL << 20;  // bytes, all values together

/// A list of attributes and their values, nested templates (CKA_WRAP_TEMPLATE and its kin) included, in memory that is
/// wiped. Copies are deep. Owned by its holder, who synchronises; whatever allocates may throw std::bad_alloc. An
/// attribute may be in it more than once, as an application may have put it: find and its kin see the first.
class Template {
 public:
  Template() = default;
  ~Template() = default;
  Template(const Template& other);
  Template& operator=(const Template& other);
  Template(Template&&) noexcept = default;
  Template& operator=(Template&&) noexcept = default;

  /// A deep copy. CKR_ARGUMENTS_BAD: no attributes where there should be some, or beyond the bounds;
  /// CKR_ATTRIBUTE_VALUE_INVALID: a length without a value, or beyond the bounds, or a nested template whose length is
  /// no multiple of an attribute's.
  static base::Result<Template, CK_RV> copyOf(const CK_ATTRIBUTE* attributes, CK_ULONG count);

  /// Put an attribute at the end, whatever is there already.
  void addBool(CK_ATTRIBUTE_TYPE type, bool value);
  void addUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  void addUlongs(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values);  // CKA_ALLOWED_MECHANISMS
  void addBytes(CK_ATTRIBUTE_TYPE type, std::span<const std::uint8_t> value);
  void addText(CK_ATTRIBUTE_TYPE type, std::string_view value);
  void addTemplate(CK_ATTRIBUTE_TYPE type, Template value);
  /// All attributes of another template.
  void append(const Template& other);
  /// That attribute of another template, each time it occurs there.
  void appendFrom(const Template& other, CK_ATTRIBUTE_TYPE type);

  /// Replace the attribute where it is (and drop further occurrences), or put it at the end.
  void setBool(CK_ATTRIBUTE_TYPE type, bool value);
  void setUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  void setUlongs(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values);
  void setBytes(CK_ATTRIBUTE_TYPE type, std::span<const std::uint8_t> value);
  void setTemplate(CK_ATTRIBUTE_TYPE type, Template value);

  /// Drops every occurrence; true if there was one.
  bool erase(CK_ATTRIBUTE_TYPE type);
  void clear();

  std::size_t occurrences(CK_ATTRIBUTE_TYPE type) const;
  bool has(CK_ATTRIBUTE_TYPE type) const { return occurrences(type) != 0; }

  /// The value's bytes, valid till the next change.
  std::optional<std::span<const std::uint8_t>> find(CK_ATTRIBUTE_TYPE type) const;
  /// Nothing, too, where the value has not the length of a CK_BBOOL, or CK_ULONG.
  std::optional<bool> boolean(CK_ATTRIBUTE_TYPE type) const;
  std::optional<CK_ULONG> ulong(CK_ATTRIBUTE_TYPE type) const;
  /// Nothing, too, where the length is no multiple of a CK_ULONG.
  std::optional<std::vector<CK_ULONG>> ulongs(CK_ATTRIBUTE_TYPE type) const;
  /// The nested template, or nullptr. Valid till the next change.
  const Template* nested(CK_ATTRIBUTE_TYPE type) const;

  /// What a C_ function takes; nullptr and 0 when empty. Valid till the next change, also if the template is moved.
  CK_ATTRIBUTE* data() { return list_.empty() ? nullptr : list_.data(); }
  const CK_ATTRIBUTE* data() const { return list_.empty() ? nullptr : list_.data(); }
  CK_ULONG count() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  std::span<const CK_ATTRIBUTE> attributes() const { return list_; }

  /// The same attributes with the same values in the same order.
  friend bool operator==(const Template& a, const Template& b);

 private:
  struct Value {
    base::SecureBytes bytes;
    std::unique_ptr<Template> nested;
  };
  struct Budget;

  static base::Result<Template, CK_RV> copyWithin(const CK_ATTRIBUTE* attributes, CK_ULONG count, std::size_t depth,
                                                  Budget& budget);
  void appendAt(const Template& other, std::size_t index);
  std::optional<std::size_t> indexOf(CK_ATTRIBUTE_TYPE type) const;
  void add(CK_ATTRIBUTE_TYPE type, Value value);
  void set(CK_ATTRIBUTE_TYPE type, Value value);
  void put(std::size_t index, CK_ATTRIBUTE_TYPE type, Value value);
  void eraseAfter(CK_ATTRIBUTE_TYPE type, std::size_t first);

  std::vector<CK_ATTRIBUTE> list_;  // points into values_, whose buffers stay where they are when it is moved
  std::vector<Value> values_;       // one for each of list_
};

}  // namespace p11ha::cryptoki
