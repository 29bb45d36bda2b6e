#include "tests/conformance/script/mechanisms.h"

#include <cstring>

#include "cryptoki/mechanism.h"

namespace p11ha::conformance {

using cryptoki::ParameterKind;

namespace {

bool has(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

std::string family(std::string_view name) {
  if (has(name, "RSA")) return "rsa";
  if (has(name, "EDDSA") || has(name, "EDWARDS")) return "ed25519";
  if (has(name, "ECDSA") || has(name, "ECDH") || has(name, "EC_")) return "p256";
  if (has(name, "DSA")) return "dsa";
  if (has(name, "DH_PKCS")) return "dh";
  if (has(name, "DES3")) return "des3";
  if (has(name, "DES2")) return "des2";
  if (has(name, "DES")) return "des";
  if (has(name, "HMAC") || has(name, "GENERIC") || has(name, "SHA") || has(name, "MD5") || has(name, "CONCATENATE") ||
      has(name, "XOR_BASE") || has(name, "EXTRACT_KEY") || has(name, "HKDF") || has(name, "TLS")) {
    return "generic";
  }
  return "aes";
}

bool isPair(const std::string& family) {
  return family == "rsa" || family == "ed25519" || family == "p256" || family == "dsa" || family == "dh";
}

struct Hash {
  std::string_view name;
  CK_MECHANISM_TYPE mechanism;
  CK_ULONG mgf;
};
constexpr Hash kHashes[] = {{"SHA1", CKM_SHA_1, CKG_MGF1_SHA1},
                            {"SHA224", CKM_SHA224, CKG_MGF1_SHA224},
                            {"SHA384", CKM_SHA384, CKG_MGF1_SHA384},
                            {"SHA512", CKM_SHA512, CKG_MGF1_SHA512}};

Hash hashOf(std::string_view name) {
  for (const Hash& hash : kHashes) {
    if (has(name, hash.name)) return hash;
  }
  return {"SHA256", CKM_SHA256, CKG_MGF1_SHA256};
}

MechanismSpec specOf(CK_MECHANISM_TYPE type, std::string_view name, const std::string& family) {
  const auto* info = cryptoki::mechanismInfo(type);
  const std::size_t block = family.starts_with("des") ? 8 : 16;
  MechanismSpec spec(type);
  switch (info == nullptr ? ParameterKind::None : info->parameter) {
    case ParameterKind::Iv:
      return has(name, "KEY_WRAP") ? spec : MechanismSpec(type, counting(block));
    case ParameterKind::Ulong:
      return spec.parameter(CK_ULONG{8});
    case ParameterKind::Bytes:
      return type == CKM_DH_PKCS_DERIVE ? MechanismSpec(type, fixed::dhPeerPublicValue()) : spec;
    case ParameterKind::Ctr: {
      CK_AES_CTR_PARAMS parameters{};
      parameters.ulCounterBits = 128;
      std::memset(parameters.cb, 7, sizeof parameters.cb);
      return spec.parameter(parameters);
    }
    case ParameterKind::Gcm:
      return spec.parameter(CK_GCM_PARAMS{spec.keep(counting(12)), 12, 96, spec.keep(counting(10)), 10, 128});
    case ParameterKind::Ccm:
      return spec.parameter(CK_CCM_PARAMS{32, spec.keep(counting(12)), 12, spec.keep(counting(10)), 10, 16});
    case ParameterKind::Oaep:
      return spec.parameter(CK_RSA_PKCS_OAEP_PARAMS{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0});
    case ParameterKind::Pss: {
      const Hash hash = hashOf(name);
      return spec.parameter(CK_RSA_PKCS_PSS_PARAMS{hash.mechanism, hash.mgf, 20});
    }
    case ParameterKind::StringData:
      return spec.parameter(CK_KEY_DERIVATION_STRING_DATA{spec.keep(counting(32)), 32});
    case ParameterKind::CbcEncryptData: {
      CK_AES_CBC_ENCRYPT_DATA_PARAMS parameters{};
      parameters.pData = spec.keep(counting(32));
      parameters.length = 32;
      return spec.parameter(parameters);
    }
    case ParameterKind::DesCbcEncryptData: {
      CK_DES_CBC_ENCRYPT_DATA_PARAMS parameters{};
      parameters.pData = spec.keep(counting(32));
      parameters.length = 32;
      return spec.parameter(parameters);
    }
    case ParameterKind::Ecdh1: {
      const Bytes peer = fixed::p256PeerPoint();
      return spec.parameter(CK_ECDH1_DERIVE_PARAMS{CKD_NULL, 0, nullptr, peer.size(), spec.keep(peer)});
    }
    default:
      return spec;
  }
}

Bytes dataOf(std::string_view name, const std::string& family) {
  if (name == "CKM_RSA_X_509") {
    Bytes data(256, 9);
    data[0] = 0;
    return data;
  }
  if (name == "CKM_DSA") return counting(20);
  if (name == "CKM_RSA_PKCS_PSS") return counting(32);
  return counting(family.starts_with("des") || family == "aes" ? 64 : 32);
}

// Session keys, public, so that they can be read.
Attributes generatedWith(std::string_view name, const std::string& family) {
  Attributes wanted;
  wanted.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false);
  if (has(name, "DSA_PARAMETER")) return wanted.number(CKA_PRIME_BITS, 512).number(CKA_SUBPRIME_BITS, 160);
  if (has(name, "DH_PKCS_PARAMETER")) return wanted.number(CKA_PRIME_BITS, 512);
  if (family == "rsa")
    return wanted.number(CKA_MODULUS_BITS, 1024).bytes(CKA_PUBLIC_EXPONENT, fixed::rsaPublicExponent());
  if (family == "p256") return wanted.bytes(CKA_EC_PARAMS, fixed::p256Parameters());
  if (family == "ed25519") return wanted.bytes(CKA_EC_PARAMS, fixed::ed25519Parameters());
  if (family == "dsa") {
    return wanted.bytes(CKA_PRIME, fixed::dsaPrime())
        .bytes(CKA_SUBPRIME, fixed::dsaSubprime())
        .bytes(CKA_BASE, fixed::dsaBase());
  }
  if (family == "dh") return wanted.bytes(CKA_PRIME, fixed::dhPrime()).bytes(CKA_BASE, fixed::dhBase());
  wanted.flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE);
  if (family == "generic" || family == "aes") wanted.number(CKA_VALUE_LEN, 32);
  return wanted;
}

}  // namespace

MechanismUse useOf(CK_MECHANISM_TYPE type, std::string_view name) {
  const std::string of = family(name);
  MechanismUse use;
  use.spec = specOf(type, name, of);
  use.publicKey = isPair(of) ? of + " public" : of;
  use.privateKey = isPair(of) ? of + " private" : of;
  use.wrongKey = of == "aes" ? "rsa public" : "aes";
  use.data = dataOf(name, of);
  use.random = has(name, "PSS") || has(name, "OAEP") || of == "p256" || of == "dsa";
  use.generated = generatedWith(name, of);
  use.generatedPrivate.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE);
  return use;
}

}  // namespace p11ha::conformance
