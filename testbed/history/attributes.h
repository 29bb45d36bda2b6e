// Attributes of objects as plain values: what a history asks for, what a store holds, what a journal says. The checker
// must not lean on what it checks: hence not cryptoki/template.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cryptoki/pkcs11.h"

namespace p11ha::history {

using Bytes = std::vector<std::uint8_t>;
using Attributes = std::map<CK_ATTRIBUTE_TYPE, Bytes>;

/// Values as PKCS #11 has them. Any thread.
Bytes ofBool(bool value);
Bytes ofUlong(CK_ULONG value);
Bytes ofText(std::string_view text);

/// Empty, and CK_UNAVAILABLE_INFORMATION, where there is none.
std::string textOf(const Attributes& attributes, CK_ATTRIBUTE_TYPE type);
CK_ULONG ulongOf(const Attributes& attributes, CK_ATTRIBUTE_TYPE type);
bool isTrue(const Attributes& attributes, CK_ATTRIBUTE_TYPE type);
/// Has it, and it is false.
bool isFalse(const Attributes& attributes, CK_ATTRIBUTE_TYPE type);

std::string inHex(const Bytes& bytes);

/// What a C_ function takes; points into the attributes.
std::vector<CK_ATTRIBUTE> templateOf(Attributes& attributes);

}  // namespace p11ha::history
