#include "tests/support/sample_call.h"

#include <cstdio>
#include <cstring>

#include "cryptoki/parameter_pointee.h"

namespace p11ha::tests {

using cryptoki::Argument;
using cryptoki::Direction;
using cryptoki::FieldKind;
using cryptoki::load;
using cryptoki::ParameterField;
using cryptoki::ParameterShape;
using cryptoki::Pointee;
using cryptoki::RoleKind;
using cryptoki::store;

const std::vector<SampleParameter>& sampleParameters() {
  static const std::vector<SampleParameter> all = [] {
    std::vector<SampleParameter> made;
    for (const cryptoki::MechanismInfo& row : cryptoki::allMechanisms()) {
      if (cryptoki::isFlat(row.parameter)) made.push_back({row.type, nullptr, false});
      for (const ParameterShape* shape : cryptoki::parameterShapes(row.parameter)) {
        made.push_back({row.type, shape, false});
      }
      if (const ParameterShape* shape = cryptoki::messageShape(row.type)) made.push_back({row.type, shape, true});
    }
    return made;
  }();
  return all;
}

SampleCall::SampleCall(cryptoki::Fn fn, std::uint64_t seed)
    : call_{fn, {}}, random_(seed * 1000 + static_cast<std::uint64_t>(fn)), plain_(seed == 0) {
  for (const Argument& argument : cryptoki::function(fn).args()) make(argument);
}

SampleCall::SampleCall(cryptoki::Fn fn, std::uint64_t seed, const SampleParameter& parameter)
    : call_{fn, {}}, random_(seed), plain_(seed == 0), parameter_(&parameter) {
  for (const Argument& argument : cryptoki::function(fn).args()) make(argument);
}

std::uint8_t* SampleCall::take(std::size_t size) {
  Block& block = blocks_.emplace_back(Block{std::make_unique<std::uint8_t[]>(size), size});
  for (std::size_t i = 0; i < size; ++i) block.bytes[i] = random_.byte();
  return block.bytes.get();
}

CK_ULONG* SampleCall::takeNumber(CK_ULONG value) {
  std::uint8_t* const number = take(sizeof value);
  store(number, value);
  return reinterpret_cast<CK_ULONG*>(number);
}

void SampleCall::make(const Argument& argument) {
  const std::size_t at = argument.word;
  switch (argument.role) {
    case RoleKind::SlotId:
    case RoleKind::SessionId:
    case RoleKind::ObjectId:
    case RoleKind::KeyId:
    case RoleKind::WrappingKeyId:
    case RoleKind::UnwrappingKeyId:
    case RoleKind::OptionalKeyId:
    case RoleKind::UserType:
    case RoleKind::Flags:
    case RoleKind::MechanismType:
      call_.words[at] = random_.next();
      break;
    case RoleKind::Present:
      call_.words[at] = random_.below(2);
      break;
    case RoleKind::NewObject:
    case RoleKind::NewSession:
    case RoleKind::OutNumber:
    case RoleKind::OutSlot:
      if (there()) call_.set(at, takeNumber(random_.next()));
      break;
    case RoleKind::Mechanism:
      if (there()) call_.set(at, mechanism());
      break;
    case RoleKind::MessageParameter:
      messageParameter(at);
      break;
    case RoleKind::InTemplate:
    case RoleKind::OutTemplate: {
      const CK_ULONG count = plain_ ? 3 : random_.below(6);
      if (there()) call_.set(at, attributes(count, 1, argument.role == RoleKind::OutTemplate));
      call_.words[at + 1] = count;
      break;
    }
    case RoleKind::InBytes:
    case RoleKind::FilledBytes:
    case RoleKind::Pin:
    case RoleKind::UserName:
      call_.words[at + 1] = size();
      if (there()) call_.set(at, take(call_.words[at + 1]));
      break;
    case RoleKind::Label32:
      if (there()) call_.set(at, take(32));
      break;
    case RoleKind::OutBytes:
      makeSized(at, 1);
      break;
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
      makeSized(at, sizeof(CK_ULONG));
      break;
    case RoleKind::FoundObjects:
      call_.words[at + 1] = size();
      if (there()) call_.set(at, take(call_.words[at + 1] * sizeof(CK_OBJECT_HANDLE)));
      if (there()) call_.set(at + 2, takeNumber(random_.next()));
      break;
    case RoleKind::OutInfo:
      if (there()) call_.set(at, take(cryptoki::function(call_.fn).infoSize));
      break;
    case RoleKind::Reserved:
      if (!there()) call_.set(at, take(0));
      break;
    case RoleKind::Callback:
    case RoleKind::InitializeArguments:
    case RoleKind::OutInterfaces:
    case RoleKind::OutFunctionList:
    case RoleKind::InterfaceRequest:
      break;
  }
}

void SampleCall::makeSized(std::size_t word, std::size_t element) {
  const CK_ULONG capacity = size();
  if (there()) call_.set(word, take(capacity * element));
  if (there()) call_.set(word + 1, takeNumber(capacity));
}

std::uint8_t* SampleCall::attributes(CK_ULONG count, std::size_t depth, bool out) {
  std::uint8_t* const list = take(count * sizeof(CK_ATTRIBUTE));
  static constexpr CK_ATTRIBUTE_TYPE kTypes[] = {CKA_LABEL, CKA_TOKEN, CKA_UNWRAP_TEMPLATE, CKA_ALLOWED_MECHANISMS,
                                                 CKA_VENDOR_DEFINED | 7};
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_ATTRIBUTE attribute{};
    attribute.type = kTypes[plain_ ? i % 3 : random_.below(std::size(kTypes))];
    if (depth >= 3 && attribute.type == CKA_UNWRAP_TEMPLATE) attribute.type = CKA_ID;
    if (attribute.type == CKA_UNWRAP_TEMPLATE) {
      const CK_ULONG inner = plain_ ? 2 : random_.below(4);
      const CK_ULONG tail = plain_ || !random_.oneIn(10) ? 0 : 5;
      attribute.ulValueLen = inner * sizeof(CK_ATTRIBUTE) + tail;
      if (there()) {
        std::uint8_t* const room = take(attribute.ulValueLen);
        std::uint8_t* const made = attributes(inner, depth + 1, out);
        if (inner != 0) std::memcpy(room, made, inner * sizeof(CK_ATTRIBUTE));
        attribute.pValue = room;
      }
    } else {
      attribute.ulValueLen = size();
      if (there()) attribute.pValue = take(attribute.ulValueLen);
    }
    store(list + i * sizeof attribute, attribute);
  }
  return list;
}

std::uint8_t* SampleCall::parameter(const SampleParameter& of, CK_ULONG& size) {
  if (of.shape == nullptr) {
    size = SampleCall::size();
    return size == 0 ? nullptr : take(size);
  }
  size = of.shape->size;
  std::uint8_t* const made = take(size);
  fill(*of.shape, made, nullptr);
  return made;
}

void* SampleCall::mechanism() {
  std::uint8_t* const made = take(sizeof(CK_MECHANISM));
  CK_MECHANISM mechanism{CKM_AES_CBC, nullptr, 0};
  const auto& all = sampleParameters();
  const SampleParameter* of = parameter_;
  if (of == nullptr && !plain_) {
    do {
      of = &all[random_.below(all.size())];
    } while (of->message);
  }
  static constexpr SampleParameter kFlat{CKM_AES_CBC, nullptr, false};
  if (of == nullptr || of->message) of = &kFlat;
  mechanism.mechanism = of->type;
  mechanism.pParameter = parameter(*of, mechanism.ulParameterLen);
  store(made, mechanism);
  return made;
}

void SampleCall::messageParameter(std::size_t word) {
  const auto& all = sampleParameters();
  const SampleParameter* of = parameter_;
  if (of != nullptr && !of->message) of = nullptr;
  if (!there()) {
    call_.words[word + 1] = size();
    return;
  }
  while (of == nullptr) {
    const SampleParameter& each = all[random_.below(all.size())];
    if (each.message) of = &each;
  }
  call_.set(word, parameter(*of, call_.words[word + 1]));
}

void SampleCall::fill(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent) {
  std::memset(base, 0, shape.size);
  for (const ParameterField& field : shape.fields) {
    if (field.kind == FieldKind::Ulong || field.kind == FieldKind::Length || field.kind == FieldKind::Generator) {
      store(base + field.offset, size());
    }
    if (field.kind == FieldKind::Bool) base[field.offset] = there() ? CK_TRUE : CK_FALSE;
    if (field.kind == FieldKind::Flat) {
      for (std::size_t i = 0; i < field.size; ++i) base[field.offset + i] = random_.byte();
    }
  }
  for (const ParameterField& field : shape.fields) {
    if (field.kind == FieldKind::Array) store<CK_ULONG>(base + field.length, plain_ ? 2 : random_.below(3));
    if (field.conditionSize == sizeof(CK_ULONG) && there()) {
      store(base + field.condition, load<CK_ULONG>(base + field.condition) | field.conditionBits);
    }
  }
  if (&shape == &cryptoki::attributeShape()) {
    const bool nested = random_.oneIn(6);
    store<CK_ATTRIBUTE_TYPE>(base, nested ? CKA_WRAP_TEMPLATE : CKA_LABEL);
    if (nested) store(base + offsetof(CK_ATTRIBUTE, ulValueLen), sizeof(CK_ATTRIBUTE));
  }
  if (&shape == &cryptoki::mechanismShape()) store<CK_MECHANISM_TYPE>(base, CKM_AES_CBC);
  for (const ParameterField& field : shape.fields) {
    std::uint8_t* const at = base + field.offset;
    if (field.kind == FieldKind::Handle && switchedOn(field, base)) store(at, random_.next());
    if (field.kind == FieldKind::PasswordLength) {
      if (there()) {
        store(at, takeNumber(size()));
      } else {
        store(at, size());
      }
    } else if (isPointer(field.kind)) {
      fillPointer(field, base, parent);
    }
  }
}

void SampleCall::fillPointer(const ParameterField& field, std::uint8_t* base, const std::uint8_t* parent) {
  std::uint8_t* const at = base + field.offset;
  if (field.kind == FieldKind::CountPointer) {
    if (there()) store(at, takeNumber(size()));
    return;
  }
  store(at, base);  // anything but NULL, to learn how much it is to point to
  Pointee pointee;
  resolve(field, base, parent, pointee);
  store<void*>(at, nullptr);
  const bool mayBeNull = pointee.size == 0 || field.direction == Direction::Out || field.kind == FieldKind::Fixed ||
                         field.kind == FieldKind::Pointer;
  if (pointee.data == nullptr || (mayBeNull && !there())) return;
  std::uint8_t* const made = take(pointee.size);
  store(at, made);
  for (std::size_t i = 0; i < pointee.count; ++i) fill(*pointee.shape, made + i * pointee.shape->size, base);
}

void SampleCall::describe(const Block& block, std::string& text) const {
  char piece[64];
  for (std::size_t i = 0; i < block.size;) {
    bool named = false;
    if (i % sizeof(void*) == 0 && block.size - i >= sizeof(void*)) {
      const auto word = load<std::uintptr_t>(block.bytes.get() + i);
      for (std::size_t other = 0; other < blocks_.size() && !named; ++other) {
        const auto begin = reinterpret_cast<std::uintptr_t>(blocks_[other].bytes.get());
        if (word < begin || word >= begin + std::max<std::size_t>(blocks_[other].size, 1)) continue;
        std::snprintf(piece, sizeof piece, " @%zu+%zu ", other, static_cast<std::size_t>(word - begin));
        named = true;
      }
    }
    if (!named) std::snprintf(piece, sizeof piece, "%02x", block.bytes[i]);
    text += piece;
    i += named ? sizeof(void*) : 1;
  }
  text += '\n';
}

std::string SampleCall::memory() const {
  std::string text;
  for (const Block& block : blocks_) describe(block, text);
  return text;
}

}  // namespace p11ha::tests
