#include "transport/codec/request.h"

#include <bit>
#include <new>

#include "cryptoki/template.h"
#include "transport/codec/encoding.h"
#include "transport/codec/parameters.h"
#include "transport/codec/templates.h"

namespace p11ha::transport {
namespace {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::Function;
using cryptoki::RoleKind;

static_assert(std::endian::native == std::endian::little, "numbers go as they lie in memory");
static_assert(~CK_ULONG{0} == ~std::uint64_t{0}, "so does CK_UNAVAILABLE_INFORMATION: all bits of 64");
static_assert(cryptoki::kFunctionCount <= 0xFF00, "the numbers above are no functions");

constexpr std::size_t kLabelSize = 32;
// All templates of a call together.
constexpr std::size_t kMaxAttributes = 2 * cryptoki::kMaxTemplateAttributes;
// What the parts of one call take that are of one size each: nine words, and a byte for each argument.
constexpr std::size_t kMaxFixed = 256;

constexpr bool isOfTheCallersProcess(RoleKind role) {
  return role == RoleKind::InitializeArguments || role == RoleKind::OutFunctionList ||
         role == RoleKind::OutInterfaces || role == RoleKind::InterfaceRequest;
}

// What is there of an output with a length.
enum Given : std::uint8_t { kNothing = 0, kBuffer = 1, kLength = 2, kBoth = 3 };

Given given(const void* buffer, const void* length) {
  return static_cast<Given>((buffer != nullptr ? kBuffer : kNothing) | (length != nullptr ? kLength : kNothing));
}

void encodePresence(const void* pointer, Encoding& encoding) {
  encoding.put(pointer == nullptr ? Pointed::Null : Pointed::There);
}

// A pointer that is not followed: NULL, or not.
bool decodePresence(std::uintptr_t& word, std::size_t size, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  if (pointed == Pointed::Null) return true;
  std::uint8_t* const there = decoding.take(size);
  word = reinterpret_cast<std::uintptr_t>(there);
  return there != nullptr;
}

void encodeNumber(CK_ULONG* number, Encoding& encoding) {
  encodePresence(number, encoding);
  encoding.outputs.add({.kind = Output::Kind::Number, .data = number});
}

bool decodeNumber(std::uintptr_t& word, Decoding& decoding) {
  if (!decodePresence(word, sizeof(CK_ULONG), decoding)) return false;
  auto* const number = cryptoki::detail::fromWord<CK_ULONG*>(word);
  if (number != nullptr) *number = kUnwritten;
  decoding.outputs.add({.kind = Output::Kind::Number, .data = number});
  return true;
}

CK_RV encodeInBytes(const void* bytes, CK_ULONG size, Encoding& encoding) {
  encodePresence(bytes, encoding);
  encoding.putUlong(size);
  return bytes == nullptr || encoding.putBytes(bytes, size) ? CKR_OK : CKR_HOST_MEMORY;
}

bool decodeInBytes(std::uintptr_t* words, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  words[1] = decoding.getUlong();
  if (pointed == Pointed::Null) return true;
  words[0] = reinterpret_cast<std::uintptr_t>(decoding.from.take(words[1]));
  return words[0] != 0;
}

void encodeSized(void* buffer, CK_ULONG* length, std::uint16_t element, Encoding& encoding) {
  const Given present = given(buffer, length);
  Output output{.kind = Output::Kind::Sized, .element = element, .data = buffer, .length = length};
  if (length != nullptr) {
    output.announced = output.capacity = *length;
    if (buffer != nullptr) output.capacity = encoding.claimUpTo(*length, element, encoding.room);
  }
  encoding.to.put<std::uint8_t>(present);
  encoding.putUlong(output.capacity);
  encoding.outputs.add(output);
}

void encodeCounted(void* buffer, CK_ULONG capacity, CK_ULONG* count, std::uint16_t element, Encoding& encoding) {
  Output output{.kind = Output::Kind::Counted, .element = element, .data = buffer, .length = count};
  output.announced = output.capacity = capacity;
  if (buffer != nullptr) output.capacity = encoding.claimUpTo(capacity, element, encoding.room);
  encoding.to.put<std::uint8_t>(given(buffer, count));
  encoding.putUlong(output.capacity);
  encoding.outputs.add(output);
}

// The buffer and the number behind it, of which `start` is what the module finds there (capacity: where it is given).
bool decodeRoom(Output& output, bool inAndOut, Decoding& decoding) {
  const auto present = decoding.from.get<std::uint8_t>();
  if (present > kBoth) return decoding.fail(DecodeError::Malformed);
  output.announced = output.capacity = decoding.getUlong();
  if (decoding.from.failed()) return false;
  const bool knowsSize = !inAndOut || (present & kLength) != 0;
  if (!knowsSize && output.capacity != 0) return decoding.fail(DecodeError::Malformed);
  if ((present & kLength) != 0) {
    auto* const length = decoding.arena.takeOne<CK_ULONG>();
    if (length == nullptr) return decoding.fail(DecodeError::TooLarge);
    *length = inAndOut ? output.capacity : kUnwritten;
    output.length = length;
  }
  if ((present & kBuffer) != 0) {
    if (!decoding.claim(output.capacity, output.element)) return false;
    output.data = decoding.take(output.capacity * output.element);
    if (output.data == nullptr) return false;
  }
  return true;
}

bool decodeSized(std::uintptr_t* words, std::uint16_t element, Decoding& decoding) {
  Output output{.kind = Output::Kind::Sized, .element = element};
  if (!decodeRoom(output, true, decoding)) return false;
  words[0] = reinterpret_cast<std::uintptr_t>(output.data);
  words[1] = reinterpret_cast<std::uintptr_t>(output.length);
  decoding.outputs.add(output);
  return true;
}

bool decodeCounted(std::uintptr_t* words, std::uint16_t element, Decoding& decoding) {
  Output output{.kind = Output::Kind::Counted, .element = element};
  if (!decodeRoom(output, false, decoding)) return false;
  words[0] = reinterpret_cast<std::uintptr_t>(output.data);
  words[1] = output.capacity;
  words[2] = reinterpret_cast<std::uintptr_t>(output.length);
  decoding.outputs.add(output);
  return true;
}

Output filled(void* data, std::size_t size) {
  return {.kind = Output::Kind::Filled, .data = data, .capacity = size, .announced = size};
}

CK_RV encodeFilled(void* data, CK_ULONG size, Encoding& encoding) {
  encodePresence(data, encoding);
  encoding.putUlong(size);
  if (data != nullptr && !encoding.claim(size)) return CKR_HOST_MEMORY;
  encoding.outputs.add(filled(data, size));
  return CKR_OK;
}

bool decodeFilled(std::uintptr_t* words, Decoding& decoding) {
  Pointed pointed{};
  if (!decoding.get(pointed)) return false;
  words[1] = decoding.getUlong();
  void* data = nullptr;
  if (pointed == Pointed::There) {
    if (!decoding.claim(words[1])) return false;
    data = decoding.take(words[1]);
    if (data == nullptr) return false;
  }
  words[0] = reinterpret_cast<std::uintptr_t>(data);
  decoding.outputs.add(filled(data, words[1]));
  return true;
}

CK_RV encodeArgument(const Function& function, const Call& call, const Argument& argument, Encoding& encoding) {
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
    case RoleKind::Present:
    case RoleKind::MechanismType:
      encoding.putUlong(call.words[at]);
      return CKR_OK;
    case RoleKind::NewObject:
    case RoleKind::NewSession:
    case RoleKind::OutNumber:
    case RoleKind::OutSlot:
      encodeNumber(call.get<CK_ULONG*>(at), encoding);
      return CKR_OK;
    case RoleKind::Mechanism:
      return encodeMechanism(call.get<const CK_MECHANISM*>(at), encoding);
    case RoleKind::MessageParameter:
      return encodeMessageParameter(call.get<void*>(at), call.words[at + 1], encoding);
    case RoleKind::InTemplate:
      return encodeInTemplate(call.get<const CK_ATTRIBUTE*>(at), call.words[at + 1], encoding);
    case RoleKind::OutTemplate:
      return encodeOutTemplate(call.get<CK_ATTRIBUTE*>(at), call.words[at + 1], encoding);
    case RoleKind::InBytes:
    case RoleKind::Pin:
    case RoleKind::UserName:
      return encodeInBytes(call.get<const void*>(at), call.words[at + 1], encoding);
    case RoleKind::Label32:
      return encodeInBytes(call.get<const void*>(at), kLabelSize, encoding);
    case RoleKind::OutBytes:
      encodeSized(call.get<void*>(at), call.get<CK_ULONG*>(at + 1), 1, encoding);
      return CKR_OK;
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
      encodeSized(call.get<void*>(at), call.get<CK_ULONG*>(at + 1), sizeof(CK_ULONG), encoding);
      return CKR_OK;
    case RoleKind::FoundObjects:
      encodeCounted(call.get<void*>(at), call.words[at + 1], call.get<CK_ULONG*>(at + 2), sizeof(CK_OBJECT_HANDLE),
                    encoding);
      return CKR_OK;
    case RoleKind::FilledBytes:
      return encodeFilled(call.get<void*>(at), call.words[at + 1], encoding);
    case RoleKind::OutInfo:
      encodePresence(call.get<void*>(at), encoding);
      encoding.outputs.add(filled(call.get<void*>(at), function.infoSize));
      return CKR_OK;
    case RoleKind::Reserved:
      encodePresence(call.get<void*>(at), encoding);
      return CKR_OK;
    case RoleKind::Callback:
      return CKR_OK;
    case RoleKind::InitializeArguments:
    case RoleKind::OutFunctionList:
    case RoleKind::OutInterfaces:
    case RoleKind::InterfaceRequest:
      break;
  }
  return CKR_FUNCTION_NOT_SUPPORTED;
}

template <class T>
bool asWords(std::uintptr_t* words, bool (*decode)(T*&, CK_ULONG&, Decoding&), Decoding& decoding) {
  T* pointer = nullptr;
  CK_ULONG count = 0;
  if (!decode(pointer, count, decoding)) return false;
  words[0] = reinterpret_cast<std::uintptr_t>(pointer);
  words[1] = count;
  return true;
}

bool decodeArgument(const Function& function, Call& call, const Argument& argument, Decoding& decoding) {
  std::uintptr_t* const words = &call.words[argument.word];
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
    case RoleKind::Present:
    case RoleKind::MechanismType:
      words[0] = decoding.getUlong();
      return true;
    case RoleKind::NewObject:
    case RoleKind::NewSession:
    case RoleKind::OutNumber:
    case RoleKind::OutSlot:
      return decodeNumber(words[0], decoding);
    case RoleKind::Mechanism: {
      CK_MECHANISM* mechanism = nullptr;
      if (!decodeMechanism(mechanism, decoding)) return false;
      call.set(argument.word, mechanism);
      return true;
    }
    case RoleKind::MessageParameter:
      return asWords(words, &decodeMessageParameter, decoding);
    case RoleKind::InTemplate:
      return asWords(words, &decodeInTemplate, decoding);
    case RoleKind::OutTemplate:
      return asWords(words, &decodeOutTemplate, decoding);
    case RoleKind::InBytes:
    case RoleKind::Pin:
    case RoleKind::UserName:
      return decodeInBytes(words, decoding);
    case RoleKind::Label32: {
      std::uintptr_t label[2] = {};
      if (!decodeInBytes(label, decoding)) return false;
      if (label[1] != kLabelSize) return decoding.fail(DecodeError::Malformed);
      words[0] = label[0];
      return true;
    }
    case RoleKind::OutBytes:
      return decodeSized(words, 1, decoding);
    case RoleKind::OutSlots:
    case RoleKind::OutMechanisms:
      return decodeSized(words, sizeof(CK_ULONG), decoding);
    case RoleKind::FoundObjects:
      return decodeCounted(words, sizeof(CK_OBJECT_HANDLE), decoding);
    case RoleKind::FilledBytes:
      return decodeFilled(words, decoding);
    case RoleKind::OutInfo:
      if (!decodePresence(words[0], function.infoSize, decoding)) return false;
      decoding.outputs.add(filled(call.get<void*>(argument.word), function.infoSize));
      return true;
    case RoleKind::Reserved:
      return decodePresence(words[0], 0, decoding);
    case RoleKind::Callback:
      return true;
    case RoleKind::InitializeArguments:
    case RoleKind::OutFunctionList:
    case RoleKind::OutInterfaces:
    case RoleKind::InterfaceRequest:
      break;
  }
  return decoding.fail(DecodeError::UnknownFunction);
}

CK_RV encodeArguments(const Call& call, Encoding& encoding) {
  const Function& function = cryptoki::function(call.fn);
  if (!encoding.fits(kMaxFixed)) return CKR_HOST_MEMORY;
  encoding.to.put<std::uint16_t>(opcode(call.fn));
  for (const Argument& argument : function.args()) {
    const CK_RV rv = encodeArgument(function, call, argument, encoding);
    if (rv != CKR_OK) return rv;
  }
  // What comes in pieces of one size was not looked at one by one.
  return encoding.to.size() <= encoding.end ? CKR_OK : CKR_HOST_MEMORY;
}

}  // namespace

bool isCarried(Fn fn) {
  const auto arguments = cryptoki::function(fn).args();
  return std::none_of(arguments.begin(), arguments.end(),
                      [](const Argument& argument) { return isOfTheCallersProcess(argument.role); });
}

CK_RV encodeRequest(const Call& call, const Limits& limits, Buffer& to, Outputs& outputs) {
  const std::size_t before = to.size();
  outputs.clear();
  Encoding encoding{to, outputs, before + limits.payload, limits.outputs, kMaxAttributes};
  try {
    const CK_RV rv = encodeArguments(call, encoding);
    if (rv != CKR_OK) to.truncate(before);
    return rv;
  } catch (const std::bad_alloc&) {
    to.truncate(before);
    throw;
  }
}

base::Result<Call, DecodeError> decodeRequest(Reader& from, const Limits& limits, Arena& arena, Outputs& outputs) {
  outputs.clear();
  const auto number = from.get<std::uint16_t>();
  if (from.failed()) return base::Failure{DecodeError::Truncated};
  if (number >= cryptoki::kFunctionCount) return base::Failure{DecodeError::UnknownFunction};
  Call call{static_cast<Fn>(number), {}};
  const Function& function = cryptoki::function(call.fn);
  Decoding decoding{from, arena, outputs, limits.outputs, kMaxAttributes};
  for (const Argument& argument : function.args()) {
    if (decodeArgument(function, call, argument, decoding)) continue;
    return base::Failure{from.failed() ? DecodeError::Truncated : decoding.error};
  }
  if (from.failed()) return base::Failure{DecodeError::Truncated};
  return call;
}

std::string_view describe(DecodeError error) {
  switch (error) {
    case DecodeError::Truncated:
      return "a call that ends early";
    case DecodeError::UnknownFunction:
      return "a function that is not carried";
    case DecodeError::Malformed:
      return "a malformed call";
    case DecodeError::TooDeep:
      return "a call nested too deep";
    case DecodeError::TooLarge:
      return "a call that asks for too much memory";
  }
  return "a malformed call";
}

}  // namespace p11ha::transport
