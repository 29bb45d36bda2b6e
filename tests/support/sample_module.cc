#include "tests/support/sample_module.h"

#include <algorithm>
#include <cstdio>

#include "cryptoki/attribute.h"
#include "cryptoki/parameter_pointee.h"

namespace p11ha::tests {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Direction;
using cryptoki::FieldKind;
using cryptoki::load;
using cryptoki::ParameterField;
using cryptoki::ParameterShape;
using cryptoki::Pointee;
using cryptoki::Resolved;
using cryptoki::RoleKind;
using cryptoki::store;

void SampleModule::say(const char* what, CK_ULONG number) {
  say(what);
  seen_ += std::to_string(number) + ' ';
}

void SampleModule::say(const char* what, const void* bytes, CK_ULONG size) {
  say(what, size);
  if (bytes == nullptr) {
    say("NULL");
    return;
  }
  for (CK_ULONG i = 0; i < size; ++i) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<const std::uint8_t*>(bytes)[i]);
    seen_ += hex;
  }
  seen_ += ' ';
}

void SampleModule::write(void* to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) static_cast<std::uint8_t*>(to)[i] = random_.byte();
}

void SampleModule::writeNonzero(void* to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) static_cast<std::uint8_t*>(to)[i] = random_.nonzeroByte();
}

CK_RV SampleModule::execute(const Call& call) {
  const cryptoki::Function& function = cryptoki::function(call.fn);
  say(function.name.data());
  for (const Argument& argument : function.args()) look(call, argument);
  static constexpr CK_RV kAnswers[] = {CKR_OK, CKR_OK, CKR_OK, CKR_BUFFER_TOO_SMALL, CKR_GENERAL_ERROR};
  rv_ = kAnswers[random_.below(std::size(kAnswers))];
  if (function.find(RoleKind::OutTemplate) != nullptr && random_.oneIn(4)) rv_ = CKR_ATTRIBUTE_SENSITIVE;
  if (fixed_) rv_ = *fixed_;
  for (const Argument& argument : function.args()) answer(call, argument);
  return rv_;
}

void SampleModule::look(const Call& call, const Argument& argument) {
  const std::size_t at = argument.word;
  const auto* const pointer = call.get<const void*>(at);
  const char* const presence = pointer == nullptr ? "no" : "yes";
  switch (argument.role) {
    case RoleKind::Mechanism:
      say("mechanism");
      say(presence);
      if (pointer == nullptr) break;
      lookAtParameter(cryptoki::mechanismShape(), call.get<const std::uint8_t*>(at), nullptr);
      break;
    case RoleKind::MessageParameter:
      say("message", call.words[at + 1]);
      say(presence);
      if (const ParameterShape* shape = cryptoki::messageShapeOfSize(call.words[at + 1]); pointer && shape) {
        lookAtParameter(*shape, call.get<const std::uint8_t*>(at), nullptr);
      }
      break;
    case RoleKind::InTemplate:
    case RoleKind::OutTemplate:
      say("template", call.words[at + 1]);
      say(presence);
      if (pointer == nullptr) break;
      lookAtTemplate(call.get<const CK_ATTRIBUTE*>(at), call.words[at + 1], argument.role == RoleKind::OutTemplate);
      break;
    case RoleKind::InBytes:
    case RoleKind::Pin:
    case RoleKind::UserName:
      say("bytes", pointer, call.words[at + 1]);
      break;
    case RoleKind::Label32:
      say("label", pointer, 32);
      break;
    case RoleKind::OutBytes:
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
      say(presence);
      say(call.words[at + 1] == 0 ? "no length" : "length", call.words[at + 1] == 0 ? 0 : *call.get<CK_ULONG*>(at + 1));
      break;
    case RoleKind::FoundObjects:
      say(presence);
      say(call.words[at + 2] == 0 ? "no count" : "count", call.words[at + 1]);
      break;
    case RoleKind::FilledBytes:
      say(presence);
      say("room", call.words[at + 1]);
      break;
    case RoleKind::NewObject:
    case RoleKind::NewSession:
    case RoleKind::OutNumber:
    case RoleKind::OutSlot:
    case RoleKind::OutInfo:
    case RoleKind::Reserved:
      say(presence);
      break;
    default:
      say("word", call.words[at]);
      break;
  }
}

void SampleModule::lookAtTemplate(const CK_ATTRIBUTE* attributes, CK_ULONG count, bool out) {
  for (CK_ULONG i = 0; i < count; ++i) {
    const auto attribute = load<CK_ATTRIBUTE>(attributes + i);
    say("attribute", attribute.type);
    if (attribute.pValue != nullptr && cryptoki::isTemplateAttribute(attribute.type)) {
      say("of", attribute.ulValueLen);
      lookAtTemplate(static_cast<const CK_ATTRIBUTE*>(attribute.pValue), attribute.ulValueLen / sizeof attribute, out);
    } else if (out) {
      say(attribute.pValue == nullptr ? "NULL" : "room", attribute.ulValueLen);
    } else {
      say("value", attribute.pValue, attribute.ulValueLen);
    }
  }
}

void SampleModule::lookAtParameter(const ParameterShape& shape, const std::uint8_t* base, const std::uint8_t* parent) {
  say(shape.name.data());
  for (const ParameterField& field : shape.fields) {
    if (field.kind == FieldKind::NewHandle) continue;
    Pointee pointee;
    const Resolved resolved = resolve(field, base, parent, pointee);
    if (resolved == Resolved::NotAPointer) say("field", base + field.offset, field.size);
    if (resolved == Resolved::Invalid) say("invalid");
    if (resolved != Resolved::Pointer) continue;
    say(pointee.data == nullptr ? "nothing" : "pointer", pointee.size);
    if (pointee.data == nullptr) continue;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      lookAtParameter(*pointee.shape, pointee.data + i * pointee.shape->size, base);
    }
    if (pointee.shape == nullptr && field.direction != Direction::Out) say("bytes", pointee.data, pointee.size);
  }
}

void SampleModule::answer(const Call& call, const Argument& argument) {
  const std::size_t at = argument.word;
  switch (argument.role) {
    case RoleKind::NewObject:
    case RoleKind::NewSession:
    case RoleKind::OutNumber:
    case RoleKind::OutSlot: {
      const CK_ULONG value = random_.next();
      if (rv_ == CKR_OK && call.words[at] != 0) *call.get<CK_ULONG*>(at) = value;
      break;
    }
    case RoleKind::Mechanism:
      if (call.words[at] != 0) answerParameter(cryptoki::mechanismShape(), call.get<std::uint8_t*>(at), nullptr);
      break;
    case RoleKind::MessageParameter:
      if (const ParameterShape* shape = cryptoki::messageShapeOfSize(call.words[at + 1]);
          call.words[at] != 0 && shape) {
        answerParameter(*shape, call.get<std::uint8_t*>(at), nullptr);
      }
      break;
    case RoleKind::OutTemplate:
      if (call.words[at] != 0) answerTemplate(call.get<CK_ATTRIBUTE*>(at), call.words[at + 1], false);
      break;
    case RoleKind::OutBytes:
      answerSized(call.get<void*>(at), call.get<CK_ULONG*>(at + 1), 1);
      break;
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
      answerSized(call.get<void*>(at), call.get<CK_ULONG*>(at + 1), sizeof(CK_ULONG));
      break;
    case RoleKind::FoundObjects:
      answerCounted(call.get<void*>(at), call.words[at + 1], call.get<CK_ULONG*>(at + 2));
      break;
    case RoleKind::FilledBytes:
      answerFilled(call.get<void*>(at), call.words[at + 1]);
      break;
    case RoleKind::OutInfo:
      answerFilled(call.get<void*>(at), cryptoki::function(call.fn).infoSize);
      break;
    default:
      break;
  }
}

void SampleModule::answerSized(void* data, CK_ULONG* length, std::size_t element) {
  if (length == nullptr) return;
  const CK_ULONG capacity = *length;
  if (rv_ == CKR_BUFFER_TOO_SMALL) {
    *length = capacity + random_.below(100);
  } else if (rv_ == CKR_OK) {
    *length = random_.below(data == nullptr ? 500 : capacity + 1);
    if (data != nullptr) write(data, *length * element);
  } else if (data != nullptr && random_.oneIn(2)) {
    writeNonzero(data, random_.below(capacity + 1) * element);
  }
}

void SampleModule::answerCounted(void* data, CK_ULONG capacity, CK_ULONG* count) {
  if (count == nullptr || rv_ != CKR_OK) return;
  *count = random_.below(data == nullptr ? 500 : capacity + 1);
  if (data != nullptr) write(data, *count * sizeof(CK_OBJECT_HANDLE));
}

void SampleModule::answerFilled(void* data, std::size_t size) {
  if (data == nullptr) return;
  if (rv_ == CKR_OK) {
    write(data, size);
  } else if (random_.oneIn(2)) {
    writeNonzero(data, random_.below(size + 1));
  }
}

void SampleModule::answerTemplate(CK_ATTRIBUTE* attributes, CK_ULONG count, bool typed) {
  if (rv_ == CKR_GENERAL_ERROR) return;
  for (CK_ULONG i = 0; i < count; ++i) {
    auto attribute = load<CK_ATTRIBUTE>(attributes + i);
    const bool nested = cryptoki::isTemplateAttribute(attribute.type);
    if (attribute.pValue != nullptr && nested) {
      answerTemplate(static_cast<CK_ATTRIBUTE*>(attribute.pValue), attribute.ulValueLen / sizeof attribute, true);
    } else if (random_.oneIn(4)) {
      attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    } else if (attribute.pValue == nullptr) {
      attribute.ulValueLen = random_.below(500);
    } else {
      attribute.ulValueLen = random_.below(attribute.ulValueLen + 1);
      write(attribute.pValue, attribute.ulValueLen);
    }
    if (typed) attribute.type = random_.below(400);
    store(attributes + i, attribute);
  }
}

void SampleModule::answerParameter(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent) {
  const auto isAnswered = [&shape](const ParameterField& field) {
    return std::any_of(shape.fields.begin(), shape.fields.end(), [&field](const ParameterField& other) {
      return other.kind == FieldKind::Length && other.offset == field.length;
    });
  };
  for (const ParameterField& field : shape.fields) {
    if (field.kind == FieldKind::NewHandle && rv_ == CKR_OK) store(base + field.offset, random_.next());
    Pointee pointee;
    if (resolve(field, base, parent, pointee) != Resolved::Pointer || pointee.data == nullptr) continue;
    for (std::size_t i = 0; i < pointee.count; ++i) {
      answerParameter(*pointee.shape, pointee.data + i * pointee.shape->size, base);
    }
    if (pointee.shape != nullptr || field.direction == Direction::In || field.kind == FieldKind::CountPointer) continue;
    if (rv_ != CKR_OK && random_.oneIn(2)) continue;
    if (field.kind == FieldKind::Counted) {
      answerSized(pointee.data, load<CK_ULONG*>(base + field.length), 1);
    } else if (field.kind == FieldKind::Bytes && isAnswered(field)) {
      const std::size_t size = random_.below(pointee.size + 1);
      writeNonzero(pointee.data, size);
      store<CK_ULONG>(base + field.length, size);
    } else {
      writeNonzero(pointee.data, pointee.size);
    }
  }
}

}  // namespace p11ha::tests
