#include "tests/conformance/record/information.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "cryptoki/mechanism.h"
#include "cryptoki/text.h"

namespace p11ha::conformance {
namespace {

std::string number(CK_ULONG value) {
  return value == CK_UNAVAILABLE_INFORMATION ? "unavailable" : std::to_string(value);
}

std::string inHex(CK_ULONG value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%lx", value);
  return text;
}

std::string version(CK_VERSION value) { return std::to_string(value.major) + "." + std::to_string(value.minor); }

std::vector<Output> fields(const CK_INFO& info) {
  return {{"cryptokiVersion", version(info.cryptokiVersion)},
          {"manufacturerID", cryptoki::unpad(info.manufacturerID)},
          {"flags", inHex(info.flags)},
          {"libraryDescription", cryptoki::unpad(info.libraryDescription)},
          {"libraryVersion", version(info.libraryVersion)}};
}

std::vector<Output> fields(const CK_SLOT_INFO& info) {
  return {{"slotDescription", cryptoki::unpad(info.slotDescription)},
          {"manufacturerID", cryptoki::unpad(info.manufacturerID)},
          {"flags", inHex(info.flags)},
          {"hardwareVersion", version(info.hardwareVersion)},
          {"firmwareVersion", version(info.firmwareVersion)}};
}

std::vector<Output> fields(const CK_TOKEN_INFO& info) {
  const bool clock =
      std::all_of(std::begin(info.utcTime), std::end(info.utcTime), [](CK_CHAR c) { return std::isdigit(c); });
  return {{"label", cryptoki::unpad(info.label)},
          {"manufacturerID", cryptoki::unpad(info.manufacturerID)},
          {"model", cryptoki::unpad(info.model)},
          {"serialNumber", cryptoki::unpad(info.serialNumber)},
          {"flags", inHex(info.flags)},
          {"ulMaxSessionCount", number(info.ulMaxSessionCount)},
          {"ulSessionCount", number(info.ulSessionCount)},
          {"ulMaxRwSessionCount", number(info.ulMaxRwSessionCount)},
          {"ulRwSessionCount", number(info.ulRwSessionCount)},
          {"ulMaxPinLen", number(info.ulMaxPinLen)},
          {"ulMinPinLen", number(info.ulMinPinLen)},
          {"ulTotalPublicMemory", number(info.ulTotalPublicMemory)},
          {"ulFreePublicMemory", number(info.ulFreePublicMemory)},
          {"ulTotalPrivateMemory", number(info.ulTotalPrivateMemory)},
          {"ulFreePrivateMemory", number(info.ulFreePrivateMemory)},
          {"hardwareVersion", version(info.hardwareVersion)},
          {"firmwareVersion", version(info.firmwareVersion)},
          {"utcTime", clock ? "digits" : "other"}};
}

std::vector<Output> fields(const CK_MECHANISM_INFO& info) {
  return {{"ulMinKeySize", number(info.ulMinKeySize)},
          {"ulMaxKeySize", number(info.ulMaxKeySize)},
          {"flags", inHex(info.flags)}};
}

std::vector<Output> fields(const CK_SESSION_INFO& info, CK_SLOT_ID slot) {
  return {{"slotID", info.slotID == slot ? "the token" : "another slot"},
          {"state", number(info.state)},
          {"flags", inHex(info.flags)},
          {"ulDeviceError", number(info.ulDeviceError)}};
}

}  // namespace

std::vector<Output> informationFields(cryptoki::Fn fn, const void* info, CK_SLOT_ID slot) {
  switch (fn) {
    case cryptoki::Fn::GetInfo:
      return fields(*static_cast<const CK_INFO*>(info));
    case cryptoki::Fn::GetSlotInfo:
      return fields(*static_cast<const CK_SLOT_INFO*>(info));
    case cryptoki::Fn::GetTokenInfo:
      return fields(*static_cast<const CK_TOKEN_INFO*>(info));
    case cryptoki::Fn::GetMechanismInfo:
      return fields(*static_cast<const CK_MECHANISM_INFO*>(info));
    case cryptoki::Fn::GetSessionInfo:
      return fields(*static_cast<const CK_SESSION_INFO*>(info), slot);
    default:
      return {};
  }
}

std::string mechanismText(CK_MECHANISM_TYPE type) {
  const auto* info = cryptoki::mechanismInfo(type);
  return info == nullptr ? "mechanism " + inHex(type) : std::string(info->name);
}

}  // namespace p11ha::conformance
