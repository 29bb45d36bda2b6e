#include "tests/conformance/record/normaliser.h"

#include <algorithm>

#include "cryptoki/attribute.h"
#include "cryptoki/mechanism.h"
#include "tests/conformance/record/information.h"

namespace p11ha::conformance {

using cryptoki::Argument;
using cryptoki::Fn;
using cryptoki::RoleKind;

namespace {

std::string length(CK_ULONG value) {
  return value == CK_UNAVAILABLE_INFORMATION ? "unavailable" : std::to_string(value);
}

std::string attributeName(CK_ATTRIBUTE_TYPE type) {
  const auto* info = cryptoki::attributeInfo(type);
  return info == nullptr ? "attribute " + std::to_string(type) : std::string(info->name);
}

bool isArrayRole(RoleKind role) {
  return role == RoleKind::OutBytes || role == RoleKind::OutSlots || role == RoleKind::OutMechanisms ||
         role == RoleKind::OutInterfaces;
}

}  // namespace

std::string hex(const CK_BYTE* bytes, std::size_t count) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
  return text;
}

Normaliser::Normaliser(const cryptoki::Call& call, const Note& note, Names& names, CK_SLOT_ID slot)
    : call_(call), note_(note), names_(names), slot_(slot) {
  for (const Argument& argument : cryptoki::function(call.fn).args()) {
    if (isArrayRole(argument.role)) {
      if (const auto* count = call.get<const CK_ULONG*>(argument.word + 1U)) capacity_ = *count;
    } else if (argument.role == RoleKind::OutTemplate && call.words[argument.word] != 0) {
      const auto* first = call.get<const CK_ATTRIBUTE*>(argument.word);
      before_.assign(first, first + call.get<CK_ULONG>(argument.word + 1U));
    }
  }
}

std::vector<Output> Normaliser::outputs(CK_RV rv) {
  for (const Argument& one : cryptoki::function(call_.fn).args()) argument(one, rv);
  return std::move(outputs_);
}

void Normaliser::argument(const Argument& argument, CK_RV rv) {
  switch (argument.role) {
    case RoleKind::OutBytes:
      return bytes(argument, rv);
    case RoleKind::FilledBytes:
      return filled(argument, rv);
    case RoleKind::NewObject:
      return newObject(argument, rv);
    case RoleKind::FoundObjects:
      return found(argument, rv);
    case RoleKind::OutTemplate:
      return attributes(argument, rv);
    case RoleKind::OutSlots:
      return slots(argument, rv);
    case RoleKind::OutMechanisms:
      return mechanisms(argument, rv);
    case RoleKind::OutInterfaces:
      if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL) add("count", length(*call_.get<CK_ULONG*>(argument.word + 1U)));
      return;
    case RoleKind::OutNumber:
      if (rv == CKR_OK) add("number", length(*call_.get<CK_ULONG*>(argument.word)));
      return;
    case RoleKind::OutSlot:
      if (rv == CKR_OK) add("slot", *call_.get<CK_ULONG*>(argument.word) == slot_ ? "the token" : "another slot");
      return;
    case RoleKind::OutInfo:
      if (rv == CKR_OK) information(argument);
      return;
    case RoleKind::OutFunctionList:
      if (rv == CKR_OK) add("list", *call_.get<void**>(argument.word) == nullptr ? "none" : "given");
      return;
    case RoleKind::InterfaceRequest:
      if (rv == CKR_OK) add("interface", *call_.get<void**>(argument.word + 2U) == nullptr ? "none" : "given");
      return;
    default:
      return;
  }
}

void Normaliser::guard(const CK_BYTE* buffer, CK_ULONG capacity) {
  const auto untouched = [](CK_BYTE byte) { return byte == kFiller; };
  if (!std::all_of(buffer + capacity, buffer + capacity + kGuard, untouched)) add("overrun", "yes");
}

void Normaliser::bytes(const Argument& argument, CK_RV rv) {
  const auto* buffer = call_.get<const CK_BYTE*>(argument.word);
  const auto* count = call_.get<const CK_ULONG*>(argument.word + 1U);
  if (buffer != nullptr && count != nullptr) guard(buffer, capacity_);
  if (count == nullptr || (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)) return;
  add("length", length(*count));
  if (rv != CKR_OK || buffer == nullptr || *count > capacity_ || note_.random) return;
  add("bytes", hex(buffer, *count));
}

void Normaliser::filled(const Argument& argument, CK_RV rv) {
  const auto* buffer = call_.get<const CK_BYTE*>(argument.word);
  if (buffer == nullptr) return;
  const CK_ULONG count = call_.get<CK_ULONG>(argument.word + 1U);
  guard(buffer, count);
  const bool written = std::any_of(buffer, buffer + count, [](CK_BYTE byte) { return byte != kFiller; });
  if (rv == CKR_OK && count >= 16) add("filled", written ? "yes" : "no");
}

void Normaliser::newObject(const Argument& argument, CK_RV rv) {
  const std::string& name = secondObject_ ? note_.makesToo : note_.makes;
  const char* const field = secondObject_ ? "second object" : "object";
  secondObject_ = true;
  const auto* handle = call_.get<const CK_OBJECT_HANDLE*>(argument.word);
  if (rv != CKR_OK || handle == nullptr) return;
  add(field, *handle == CK_INVALID_HANDLE ? "0" : "made");
  names_.name(*handle, name);
}

void Normaliser::found(const Argument& argument, CK_RV rv) {
  const auto* handles = call_.get<const CK_OBJECT_HANDLE*>(argument.word);
  const CK_ULONG room = call_.get<CK_ULONG>(argument.word + 1U);
  const auto* count = call_.get<const CK_ULONG*>(argument.word + 2U);
  if (rv != CKR_OK || count == nullptr) return;
  add("count", length(*count));
  if (!note_.makes.empty()) {
    for (CK_ULONG i = 0; i < std::min(*count, room); ++i) names_.name(handles[i], note_.makes);
    return;
  }
  // With less room than there is to find, which of them come first is the module's choice.
  if (handles == nullptr || note_.random || *count > room) return;
  std::vector<std::string> names;
  for (CK_ULONG i = 0; i < *count; ++i) names.push_back(names_.of(handles[i]));
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  add("objects", all);
}

void Normaliser::attributes(const Argument& argument, CK_RV rv) {
  if (rv != CKR_OK && rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_BUFFER_TOO_SMALL)
    return;
  const auto* first = call_.get<const CK_ATTRIBUTE*>(argument.word);
  for (std::size_t i = 0; i < before_.size(); ++i) {
    const CK_ATTRIBUTE& now = first[i];
    std::string value = length(now.ulValueLen);
    // Of a random number the leading zeros may be left out.
    if (note_.random && now.ulValueLen != CK_UNAVAILABLE_INFORMATION && now.ulValueLen != 0) value = "some";
    const bool given = before_[i].pValue != nullptr && now.ulValueLen != CK_UNAVAILABLE_INFORMATION &&
                       now.ulValueLen <= before_[i].ulValueLen;
    // A nested template's values are pointers; its length says how many.
    if (given && !note_.random && now.type != CKA_UNIQUE_ID && !cryptoki::isTemplateAttribute(now.type)) {
      value += ": " + hex(static_cast<const CK_BYTE*>(now.pValue), now.ulValueLen);
    }
    add(attributeName(now.type), value);
  }
}

void Normaliser::slots(const Argument& argument, CK_RV rv) {
  const auto* list = call_.get<const CK_SLOT_ID*>(argument.word);
  const auto* count = call_.get<const CK_ULONG*>(argument.word + 1U);
  if (count == nullptr || (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)) return;
  add("count", length(*count));
  if (rv != CKR_OK || list == nullptr) return;
  add("has the token", std::find(list, list + *count, slot_) != list + *count ? "yes" : "no");
}

void Normaliser::mechanisms(const Argument& argument, CK_RV rv) {
  const auto* list = call_.get<const CK_MECHANISM_TYPE*>(argument.word);
  const auto* count = call_.get<const CK_ULONG*>(argument.word + 1U);
  if (count == nullptr || (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)) return;
  add("count", length(*count));
  if (rv != CKR_OK || list == nullptr) return;
  std::vector<CK_MECHANISM_TYPE> sorted(list, list + *count);
  std::sort(sorted.begin(), sorted.end());
  for (const CK_MECHANISM_TYPE type : sorted) add(mechanismText(type), "offered");
}

void Normaliser::information(const Argument& argument) {
  for (Output& field : informationFields(call_.fn, call_.get<const void*>(argument.word), slot_)) {
    add(std::move(field.name), field.value);
  }
}

}  // namespace p11ha::conformance
