#include "ha/journal.h"

namespace p11ha::ha {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Function;
using cryptoki::RoleKind;

// Room for one more, or nothing is kept any more.
bool Journal::admit(std::size_t bytes, std::size_t limit) {
  if (!complete_) return false;
  if (size_ <= limit && bytes <= limit - size_) {
    size_ += bytes;
    return true;
  }
  clear();
  complete_ = false;
  return false;
}

Journal::Entry::Slice Journal::keep(const std::uint8_t* data, std::size_t length) {
  const Entry::Slice slice{true, data_.size(), length};
  data_.insert(data_.end(), data, data + length);
  return slice;
}

void Journal::append(const Call& call, CK_MECHANISM_TYPE mechanism, const ObjectPtr& key, std::size_t limit) {
  const Function& row = cryptoki::function(call.fn);
  if (row.argumentCount <= 3 && row.arguments[1].role == RoleKind::InBytes) {
    const auto* data = call.get<const std::uint8_t*>(1);
    return append(call.fn, {data, data == nullptr ? 0 : call.get<CK_ULONG>(2)}, limit);
  }
  std::size_t size = sizeof(Entry);
  for (const Argument& argument : row.args()) {
    if (argument.role == RoleKind::InBytes || argument.role == RoleKind::MessageParameter)
      size += call.get<CK_ULONG>(argument.word + 1U);
  }
  if (!admit(size, limit)) return;
  Entry entry;
  entry.fn = call.fn;
  entry.key = key;
  std::size_t input = 0;
  for (const Argument& argument : row.args()) {
    if (argument.role == RoleKind::InBytes) {
      const auto* data = call.get<const std::uint8_t*>(argument.word);
      if (data != nullptr) entry.inputs[input] = keep(data, call.get<CK_ULONG>(argument.word + 1U));
      ++input;
    } else if (argument.role == RoleKind::Flags) {
      entry.flags = call.get<CK_FLAGS>(argument.word);
    } else if (argument.role == RoleKind::MessageParameter) {
      entry.parameter = std::make_unique<cryptoki::OwnedMechanism>();
      const CK_RV rv = entry.parameter->assignMessage(mechanism, call.get<void*>(argument.word),
                                                      call.get<CK_ULONG>(argument.word + 1U));
      if (rv != CKR_OK) {
        clear();
        complete_ = false;
        return;
      }
    }
  }
  entries_.push_back(std::move(entry));
}

void Journal::append(cryptoki::Fn update, std::span<const std::uint8_t> input, std::size_t limit) {
  if (input.empty()) return;  // nothing that a member could miss, and some refuse to be given it
  const bool goesOn = complete_ && !entries_.empty() && entries_.back().fn == update;
  if (!admit(input.size() + (goesOn ? 0 : sizeof(Entry)), limit)) return;
  if (goesOn) {
    entries_.back().inputs[0].length += keep(input.data(), input.size()).length;
    return;
  }
  Entry entry;
  entry.fn = update;
  entry.inputs[0] = keep(input.data(), input.size());
  entries_.push_back(std::move(entry));
}

Call Journal::call(const Entry& entry) {
  Call call{entry.fn, {}};
  std::size_t input = 0;
  for (const Argument& argument : cryptoki::function(entry.fn).args()) {
    if (argument.role == RoleKind::InBytes) {
      const Entry::Slice& slice = entry.inputs[input++];
      if (!slice.present) continue;
      call.set(argument.word, data_.data() + slice.offset);
      call.set(argument.word + 1U, slice.length);
    } else if (argument.role == RoleKind::Flags) {
      call.set(argument.word, entry.flags);
    } else if (argument.role == RoleKind::MessageParameter) {
      call.set(argument.word, entry.parameter->get()->pParameter);
      call.set(argument.word + 1U, entry.parameter->get()->ulParameterLen);
    }
  }
  return call;
}

void Journal::clear() {
  entries_.clear();
  base::wipeAndClear(data_);
  if (data_.capacity() > kKept) base::SecureBytes().swap(data_);
  size_ = 0;
  complete_ = true;
}

}  // namespace p11ha::ha
