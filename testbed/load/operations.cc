#include "testbed/load/operations.h"

#include <algorithm>

#include "testbed/load/expected.h"

namespace p11ha::testbed {

Bytes LoadThread::data(std::size_t atMost) {
  Bytes bytes(1 + random() % atMost);
  std::generate(bytes.begin(), bytes.end(), [this] { return static_cast<std::uint8_t>(random()); });
  return bytes;
}

namespace {

constexpr std::size_t kSingle = 2000;  // bytes at most
constexpr std::size_t kMulti = 20000;  // well within MultipartJournal
constexpr std::size_t kPart = 3000;
constexpr std::size_t kMoreOut = 600;  // an output may be so much longer than its input

CK_BYTE_PTR in(const Bytes& bytes) { return const_cast<CK_BYTE_PTR>(bytes.data()); }

// What the thread's calls answered so far: the first that was not well ends it.
struct Calls {
  LoadThread& thread;
  CK_RV rv = CKR_OK;

  template <class Function, class... Arguments>
  bool operator()(Function function, Arguments... arguments) {
    if (rv == CKR_OK) rv = function(thread.session, arguments...);
    return rv == CKR_OK;
  }
  LoadOutcome outcome(bool right) const { return {rv, rv != CKR_OK || right}; }
};

// In parts of any size.
template <class Part>
void inParts(LoadThread& thread, const Bytes& data, Part part) {
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t size = std::min<std::size_t>(1 + thread.random() % kPart, data.size() - at);
    part(const_cast<CK_BYTE_PTR>(data.data() + at), size);
    at += size;
  }
}

LoadOutcome digestWhole(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kSingle);
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  Bytes out(32);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_DigestInit, &mechanism);
  call(f.C_Digest, in(data), data.size(), out.data(), &size);
  return call.outcome(size == out.size() && out == expectedSha256(data));
}

LoadOutcome digestParts(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kMulti);
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  Bytes out(32);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_DigestInit, &mechanism);
  inParts(thread, data, [&](CK_BYTE_PTR part, CK_ULONG length) { call(f.C_DigestUpdate, part, length); });
  call(f.C_DigestFinal, out.data(), &size);
  return call.outcome(size == out.size() && out == expectedSha256(data));
}

LoadOutcome hmacWhole(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kSingle);
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  Bytes out(32);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_SignInit, &mechanism, thread.keys.hmacHandle);
  call(f.C_Sign, in(data), data.size(), out.data(), &size);
  return call.outcome(size == out.size() && out == expectedHmac(thread.keys.hmac, data));
}

LoadOutcome hmacParts(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kMulti);
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  Bytes out(32);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_SignInit, &mechanism, thread.keys.hmacHandle);
  inParts(thread, data, [&](CK_BYTE_PTR part, CK_ULONG length) { call(f.C_SignUpdate, part, length); });
  call(f.C_SignFinal, out.data(), &size);
  return call.outcome(size == out.size() && out == expectedHmac(thread.keys.hmac, data));
}

LoadOutcome verify(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kSingle);
  Bytes mac = expectedHmac(thread.keys.hmac, data);
  const bool forged = thread.random() % 2 == 0;
  if (forged) mac[5] = static_cast<std::uint8_t>(~mac[5]);
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  Calls call{thread};
  call(f.C_VerifyInit, &mechanism, thread.keys.hmacHandle);
  call(f.C_Verify, in(data), data.size(), mac.data(), mac.size());
  if (forged && call.rv == CKR_SIGNATURE_INVALID) return {};
  return forged ? LoadOutcome{call.rv, call.rv != CKR_OK} : call.outcome(true);
}

LoadOutcome cbcParts(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kMulti);
  Bytes iv = thread.data(1);
  iv.resize(16);
  CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv.data(), iv.size()};
  Bytes out(data.size() + kMoreOut);
  CK_ULONG done = 0;
  Calls call{thread};
  call(f.C_EncryptInit, &mechanism, thread.keys.aesHandle);
  inParts(thread, data, [&](CK_BYTE_PTR part, CK_ULONG length) {
    CK_ULONG size = out.size() - done;
    if (call(f.C_EncryptUpdate, part, length, out.data() + done, &size)) done += size;
  });
  CK_ULONG size = out.size() - done;
  if (call(f.C_EncryptFinal, out.data() + done, &size)) done += size;
  out.resize(done);
  return call.outcome(out == expectedCbc(thread.keys.aes, iv, data));
}

LoadOutcome cbcDecryptParts(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kMulti);
  Bytes iv = thread.data(1);
  iv.resize(16);
  const Bytes encrypted = expectedCbc(thread.keys.aes, iv, data);
  CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv.data(), iv.size()};
  Bytes out(encrypted.size() + kMoreOut);
  CK_ULONG done = 0;
  Calls call{thread};
  call(f.C_DecryptInit, &mechanism, thread.keys.aesHandle);
  inParts(thread, encrypted, [&](CK_BYTE_PTR part, CK_ULONG length) {
    CK_ULONG size = out.size() - done;
    if (call(f.C_DecryptUpdate, part, length, out.data() + done, &size)) done += size;
  });
  CK_ULONG size = out.size() - done;
  if (call(f.C_DecryptFinal, out.data() + done, &size)) done += size;
  out.resize(done);
  return call.outcome(out == data);
}

LoadOutcome gcm(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kSingle);
  const Bytes additional = thread.data(40);
  Bytes iv = thread.data(1);
  iv.resize(12);
  CK_GCM_PARAMS parameters{iv.data(), iv.size(), 8 * iv.size(), in(additional), additional.size(), 128};
  CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
  const Bytes expected = expectedGcm(thread.keys.aes, iv, additional, data);
  const bool encrypting = thread.random() % 2 == 0;
  Bytes out(data.size() + kMoreOut);
  CK_ULONG size = out.size();
  Calls call{thread};
  if (encrypting) {
    call(f.C_EncryptInit, &mechanism, thread.keys.aesHandle);
    call(f.C_Encrypt, in(data), data.size(), out.data(), &size);
  } else {
    call(f.C_DecryptInit, &mechanism, thread.keys.aesHandle);
    call(f.C_Decrypt, in(expected), expected.size(), out.data(), &size);
  }
  out.resize(std::min<std::size_t>(size, out.size()));
  return call.outcome(out == (encrypting ? expected : data));
}

LoadOutcome ecdsa(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes digest = expectedSha256(thread.data(kSingle));
  CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
  Bytes out(64);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_SignInit, &mechanism, thread.keys.ecHandle);
  call(f.C_Sign, in(digest), digest.size(), out.data(), &size);
  return call.outcome(size == out.size() && verifiesEcdsa(thread.keys.ec.get(), digest, out));
}

LoadOutcome rsaParts(LoadThread& thread) {
  const auto& f = thread.functions;
  const Bytes data = thread.data(kMulti);
  CK_MECHANISM mechanism{CKM_SHA256_RSA_PKCS, nullptr, 0};
  Bytes out(256);
  CK_ULONG size = out.size();
  Calls call{thread};
  call(f.C_SignInit, &mechanism, thread.keys.rsaHandle);
  inParts(thread, data, [&](CK_BYTE_PTR part, CK_ULONG length) { call(f.C_SignUpdate, part, length); });
  call(f.C_SignFinal, out.data(), &size);
  return call.outcome(size == out.size() && verifiesRsa(thread.keys.rsa.get(), data, out));
}

LoadOutcome random(LoadThread& thread) {
  Bytes first(32);
  Bytes second(32);
  Calls call{thread};
  call(thread.functions.C_GenerateRandom, first.data(), first.size());
  call(thread.functions.C_GenerateRandom, second.data(), second.size());
  return call.outcome(first != second && first != Bytes(32) && second != Bytes(32));
}

LoadOutcome find(LoadThread& thread) {
  const auto& f = thread.functions;
  CK_OBJECT_CLASS objectClass = CKO_PRIVATE_KEY;
  std::string label = thread.keys.label;
  CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label.data(), label.size()}, {CKA_CLASS, &objectClass, sizeof objectClass}};
  CK_OBJECT_HANDLE found[4] = {};
  CK_ULONG count = 0;
  Calls call{thread};
  call(f.C_FindObjectsInit, wanted, CK_ULONG{2});
  call(f.C_FindObjects, found, CK_ULONG{4}, &count);
  call(f.C_FindObjectsFinal);
  const auto has = [&](CK_OBJECT_HANDLE handle) { return std::find(found, found + count, handle) != found + count; };
  return call.outcome(count == 2 && has(thread.keys.ecHandle) && has(thread.keys.rsaHandle));
}

LoadOutcome attributes(LoadThread& thread) {
  std::string label(64, '\0');
  CK_KEY_TYPE type = 0;
  CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label.data(), label.size()}, {CKA_KEY_TYPE, &type, sizeof type}};
  Calls call{thread};
  call(thread.functions.C_GetAttributeValue, thread.keys.rsaHandle, wanted, CK_ULONG{2});
  label.resize(std::min<std::size_t>(wanted[0].ulValueLen, label.size()));
  return call.outcome(label == thread.keys.label && type == CKK_RSA);
}

constexpr LoadOperation kOperations[] = {
    {"digest", &digestWhole},
    {"digest in parts", &digestParts},
    {"HMAC", &hmacWhole},
    {"HMAC in parts", &hmacParts},
    {"verify", &verify},
    {"CBC in parts", &cbcParts},
    {"decrypt CBC in parts", &cbcDecryptParts},
    {"GCM", &gcm},
    {"ECDSA", &ecdsa},
    {"RSA in parts", &rsaParts},
    {"random", &random},
    {"find", &find},
    {"attributes", &attributes},
};

}  // namespace

std::span<const LoadOperation> loadOperations() { return kOperations; }

}  // namespace p11ha::testbed
