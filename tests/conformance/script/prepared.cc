#include "tests/conformance/script/prepared.h"

#include <cstring>
#include <stdexcept>

namespace p11ha::conformance {

std::size_t Prepared::wordOf(cryptoki::RoleKind role, std::size_t nth) const {
  for (const auto& argument : cryptoki::function(call.fn).args()) {
    if (argument.role == role && nth-- == 0) return argument.word;
  }
  throw std::out_of_range("no such argument");
}

Prepared& Prepared::value(std::size_t word, CK_ULONG value) {
  call.words.at(word) = value;
  return *this;
}

Prepared& Prepared::pointer(std::size_t word, const void* value) {
  call.set(word, value);
  return *this;
}

Prepared& Prepared::in(std::size_t word, const Bytes& data) {
  Bytes copy = data;
  copy.resize(data.size() + 1);  // so that no data has a pointer as well
  return pointer(word, keep(std::move(copy))).value(word + 1, data.size());
}

Prepared& Prepared::out(std::size_t word, CK_ULONG capacity) {
  pointer(word, keep(Bytes(capacity + kGuard, kFiller)));
  memory<CK_ULONG>(word + 1) = capacity;
  return *this;
}

Prepared& Prepared::fill(std::size_t word, CK_ULONG count) {
  return pointer(word, keep(Bytes(count + kGuard, kFiller))).value(word + 1, count);
}

Prepared& Prepared::query(std::size_t word) {
  pointer(word, nullptr);
  memory<CK_ULONG>(word + 1) = 0;
  return *this;
}

Prepared& Prepared::mechanism(std::size_t word, const MechanismSpec& spec) {
  const MechanismSpec& own = mechanisms_.emplace_back(spec);
  auto& mechanism = memory<CK_MECHANISM>(word);
  mechanism.mechanism = own.type();
  if (own.parameter().empty()) return *this;
  mechanism.pParameter = keep(own.parameter());
  mechanism.ulParameterLen = own.parameter().size();
  return *this;
}

Prepared& Prepared::attributes(std::size_t word, const Attributes& wanted) {
  const auto& values = wanted.values();
  // Never NULL: no attributes are not a NULL template.
  auto* list = static_cast<CK_ATTRIBUTE*>(memory(word, (values.size() + 1) * sizeof(CK_ATTRIBUTE)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    list[i] = {values[i].type, values[i].bytes.empty() ? nullptr : keep(values[i].bytes), values[i].bytes.size()};
  }
  return value(word + 1, values.size());
}

Prepared& Prepared::wanted(std::size_t word, const std::vector<Wanted>& list) {
  auto* attributes = static_cast<CK_ATTRIBUTE*>(memory(word, (list.size() + 1) * sizeof(CK_ATTRIBUTE)));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const CK_ULONG room = list[i].room == kNoRoom ? 0 : list[i].room;
    attributes[i] = {list[i].type, list[i].room == 0 ? nullptr : keep(Bytes(room + kGuard, kFiller)), room};
  }
  return value(word + 1, list.size());
}

void* Prepared::memory(std::size_t word, std::size_t size) {
  void* at = keep(Bytes(size));
  call.set(word, at);
  return at;
}

Bytes Prepared::taken(std::size_t word) const {
  const auto* first = call.get<const CK_BYTE*>(word);
  return {first, first + length(word)};
}

}  // namespace p11ha::conformance
