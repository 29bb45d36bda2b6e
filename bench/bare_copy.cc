#include "bench/bare_copy.h"

#include <iterator>
#include <string_view>
#include <vector>

#include "bench/mixed_objects.h"
#include "cryptoki/return_codes.h"
#include "cryptoki/template.h"

namespace p11ha::bench {

using cryptoki::Template;

namespace {

constexpr std::size_t kRoom = 4096;  // for a value, or a wrapped key

using Bytes = std::vector<CK_BYTE>;

// An object of the source, and what makes it on the target.
struct Item {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  bool isKey = false;  // travels wrapped
  Template wanted;
  std::vector<CK_ATTRIBUTE_TYPE> values;  // still to be read
};

CK_RV logInAs(Token& token, CK_USER_TYPE who, std::string pin) {
  token.functions().C_Logout(token.session());
  return token.functions().C_Login(token.session(), who, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
}

// Nothing is kept secret with it.
Template wrappingKey(bool trusted) {
  Template key;
  key.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  key.addUlong(CKA_KEY_TYPE, CKK_AES);
  key.addBool(CKA_TOKEN, trusted);
  key.addBool(CKA_PRIVATE, !trusted);
  if (trusted) key.addBool(CKA_TRUSTED, true);
  key.addBool(CKA_WRAP, true);
  key.addBool(CKA_UNWRAP, true);
  key.addBytes(CKA_VALUE, Bytes(32, 0x5a));
  return key;
}

// One attribute; empty where there is none.
Bytes read(Token& token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  Bytes value(kRoom);
  CK_ATTRIBUTE attribute{type, value.data(), value.size()};
  const CK_RV rv = token.functions().C_GetAttributeValue(token.session(), object, &attribute, 1);
  value.resize(rv == CKR_OK ? attribute.ulValueLen : 0);
  return value;
}

void take(Token& token, Item& item, std::initializer_list<CK_ATTRIBUTE_TYPE> types) {
  for (const CK_ATTRIBUTE_TYPE type : types) {
    const Bytes value = read(token, item.handle, type);
    if (!value.empty()) item.wanted.addBytes(type, value);
  }
}

bool isMixed(Token& token, CK_OBJECT_HANDLE object) {
  const Bytes label = read(token, object, CKA_LABEL);
  return std::string_view(reinterpret_cast<const char*>(label.data()), label.size()).starts_with(kMixedLabel);
}

Item itemOf(Token& token, CK_OBJECT_HANDLE object) {
  Item item;
  item.handle = object;
  take(token, item, {CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL});
  const auto objectClass = item.wanted.ulong(CKA_CLASS);
  const bool isSecret = objectClass == CKO_SECRET_KEY;
  item.isKey = isSecret || objectClass == CKO_PRIVATE_KEY;
  if (objectClass == CKO_DATA) {
    take(token, item, {CKA_APPLICATION});
    item.values = {CKA_VALUE};
  } else if (objectClass == CKO_CERTIFICATE) {
    take(token, item, {CKA_CERTIFICATE_TYPE, CKA_ID, CKA_SUBJECT});
    item.values = {CKA_VALUE};
  } else if (objectClass == CKO_PUBLIC_KEY) {
    take(token, item, {CKA_KEY_TYPE, CKA_ID, CKA_VERIFY, CKA_EC_PARAMS});
    item.values = {CKA_EC_POINT};
  } else {
    take(token, item, {CKA_KEY_TYPE, CKA_ID, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED});
    if (objectClass == CKO_PRIVATE_KEY) take(token, item, {CKA_SIGN});
    if (objectClass == CKO_SECRET_KEY) take(token, item, {CKA_ENCRYPT, CKA_DECRYPT});
  }
  return item;
}

class Copying {
 public:
  Copying(Token& from, Token& to, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE unwrapping)
      : from_(from), to_(to), wrapping_(wrapping), unwrapping_(unwrapping), buffer_(kRoom) {}

  CK_RV copy(Item& item) { return item.isKey ? wrapped(item) : opened(item); }

 private:
  CK_RV wrapped(Item& item) {
    CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    CK_ULONG length = buffer_.size();
    const CK_RV rv =
        from_.functions().C_WrapKey(from_.session(), &mechanism, wrapping_, item.handle, buffer_.data(), &length);
    if (rv != CKR_OK) return rv;
    return to_.functions().C_UnwrapKey(to_.session(), &mechanism, unwrapping_, buffer_.data(), length,
                                       item.wanted.data(), item.wanted.count(), &made_);
  }

  CK_RV opened(Item& item) {
    CK_ATTRIBUTE value{item.values.front(), buffer_.data(), buffer_.size()};
    const CK_RV rv = from_.functions().C_GetAttributeValue(from_.session(), item.handle, &value, 1);
    if (rv != CKR_OK) return rv;
    item.wanted.addBytes(value.type, std::span(buffer_).first(value.ulValueLen));
    return to_.functions().C_CreateObject(to_.session(), item.wanted.data(), item.wanted.count(), &made_);
  }

  Token& from_;
  Token& to_;
  const CK_OBJECT_HANDLE wrapping_;
  const CK_OBJECT_HANDLE unwrapping_;
  Bytes buffer_;
  CK_OBJECT_HANDLE made_ = CK_INVALID_HANDLE;
};

CK_RV create(Token& token, bool trusted, CK_OBJECT_HANDLE& key) {
  Template wanted = wrappingKey(trusted);
  return token.functions().C_CreateObject(token.session(), wanted.data(), wanted.count(), &key);
}

base::Failure<std::string> failed(std::string_view what, CK_RV rv) {
  return base::Failure{std::string(what) + ": " + cryptoki::returnCodeName(rv)};
}

}  // namespace

base::Result<BareCopy, std::string> copyBare(Token& from, Token& to, const std::string& soPin,
                                             const std::string& userPin) {
  CK_OBJECT_HANDLE wrapping = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE unwrapping = CK_INVALID_HANDLE;
  if (const CK_RV rv = logInAs(from, CKU_SO, soPin); rv != CKR_OK) return failed("C_Login of the SO", rv);
  if (const CK_RV rv = create(from, true, wrapping); rv != CKR_OK) return failed("the trusted key", rv);
  if (const CK_RV rv = logInAs(from, CKU_USER, userPin); rv != CKR_OK) return failed("C_Login", rv);
  if (const CK_RV rv = create(to, false, unwrapping); rv != CKR_OK) return failed("the other's key", rv);
  const auto handles = from.list();
  if (!handles) return base::Failure{handles.error()};
  std::vector<Item> items;
  for (const CK_OBJECT_HANDLE handle : *handles) {
    if (isMixed(from, handle)) items.push_back(itemOf(from, handle));
  }
  Copying copying(from, to, wrapping, unwrapping);
  CK_RV rv = CKR_OK;
  const auto begun = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < items.size() && rv == CKR_OK; ++i) rv = copying.copy(items[i]);
  const auto time = std::chrono::steady_clock::now() - begun;
  from.functions().C_DestroyObject(from.session(), wrapping);
  if (rv != CKR_OK) return failed("copying", rv);
  return BareCopy{items.size(), time};
}

}  // namespace p11ha::bench
