#include "testbed/history/listing.h"

#include <algorithm>
#include <array>

#include "testbed/history/proof.h"

namespace p11ha::history {
namespace {

// What is the same for one object on every token. Whether a key was made where it is, is not; nor are CKA_VALUE_LEN and
// CKA_CHECK_VALUE, which SoftHSM 2.6.1 leaves out of a key that it unwraps.
constexpr std::array kTypes = {CKA_CLASS,
                               CKA_TOKEN,
                               CKA_PRIVATE,
                               CKA_LABEL,
                               CKA_APPLICATION,
                               CKA_OBJECT_ID,
                               CKA_VALUE,
                               CKA_CERTIFICATE_TYPE,
                               CKA_ISSUER,
                               CKA_SERIAL_NUMBER,
                               CKA_TRUSTED,
                               CKA_CERTIFICATE_CATEGORY,
                               CKA_KEY_TYPE,
                               CKA_SUBJECT,
                               CKA_ID,
                               CKA_SENSITIVE,
                               CKA_ENCRYPT,
                               CKA_DECRYPT,
                               CKA_WRAP,
                               CKA_UNWRAP,
                               CKA_SIGN,
                               CKA_SIGN_RECOVER,
                               CKA_VERIFY,
                               CKA_VERIFY_RECOVER,
                               CKA_DERIVE,
                               CKA_MODULUS,
                               CKA_MODULUS_BITS,
                               CKA_PUBLIC_EXPONENT,
                               CKA_EXTRACTABLE,
                               CKA_MODIFIABLE,
                               CKA_COPYABLE,
                               CKA_DESTROYABLE,
                               CKA_EC_PARAMS,
                               CKA_EC_POINT,
                               CKA_WRAP_WITH_TRUSTED,
                               CKA_ALWAYS_AUTHENTICATE};

// A key's value is nothing for a file.
void leaveOutSecrets(Attributes& attributes) {
  const CK_OBJECT_CLASS objectClass = ulongOf(attributes, CKA_CLASS);
  if (objectClass == CKO_SECRET_KEY || objectClass == CKO_PRIVATE_KEY) attributes.erase(CKA_VALUE);
}

}  // namespace

std::vector<Line> listObjectsOf(const Token& token) {
  std::vector<Line> lines;
  for (const CK_OBJECT_HANDLE object : token.find({})) {
    Attributes attributes = token.read(object, kTypes);
    leaveOutSecrets(attributes);
    // What SoftHSM 2.6.1 leaves in its store of a call in which it was killed: an object of defaults.
    if (isFalse(attributes, CKA_TOKEN)) continue;
    Line line("object");
    line.put("class", ulongOf(attributes, CKA_CLASS));
    line.put(attributes);
    const Proof proof = prove(token, object, attributes);
    if (proof.rv != CKR_OK) line.put("failed", proof.rv);
    line.putBytes("proof", proof.answer);
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.text() < b.text(); });
  return lines;
}

}  // namespace p11ha::history
