#include "ha/room.h"

#include "cryptoki/attribute.h"
#include "cryptoki/template.h"

namespace p11ha::ha {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Function;
using cryptoki::RoleKind;

Room::Room(const Call& call, std::optional<CK_ULONG> before) {
  const Function& row = cryptoki::function(call.fn);
  length_ = outputLength(row, call);
  if (length_ != nullptr) before_ = before.value_or(*length_);
  if (const Argument* out = row.find(RoleKind::OutTemplate))
    note(call.get<CK_ATTRIBUTE*>(out->word), call.get<CK_ULONG>(out->word + 1UL), 0);
}

void Room::note(CK_ATTRIBUTE* attributes, CK_ULONG count, unsigned depth) {
  if (attributes == nullptr || count > cryptoki::kMaxTemplateAttributes || depth > cryptoki::kMaxTemplateDepth) return;
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_ATTRIBUTE& attribute = attributes[i];
    values_.push_back({&attribute, attribute.ulValueLen});
    if (attribute.pValue == nullptr || !cryptoki::isTemplateAttribute(attribute.type) ||
        attribute.ulValueLen % sizeof(CK_ATTRIBUTE) != 0)
      continue;
    note(static_cast<CK_ATTRIBUTE*>(attribute.pValue), attribute.ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1);
  }
}

void Room::restore() const {
  if (length_ != nullptr) *length_ = before_;
  for (const Value& value : values_) value.attribute->ulValueLen = value.length;
}

}  // namespace p11ha::ha
