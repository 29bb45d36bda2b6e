// Multi-part operations whose member fails between any two of their calls: the application must not see it.
#include <array>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

// One kind of operation over a text given in parts; each answers with its output.
struct Kind {
  const char* name;
  CK_MECHANISM_TYPE type;
  enum class Does : std::uint8_t { Digest, Sign, Verify, Encrypt, Decrypt } does;
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

constexpr Kind kKinds[] = {
    {"digest", CKM_SHA256, Kind::Does::Digest},
    {"hmac", CKM_SHA256_HMAC, Kind::Does::Sign},
    {"hmacVerify", CKM_SHA256_HMAC, Kind::Does::Verify},
    {"rsa", CKM_SHA256_RSA_PKCS, Kind::Does::Sign},
    {"rsaVerify", CKM_SHA256_RSA_PKCS, Kind::Does::Verify},
    {"cbcPad", CKM_AES_CBC_PAD, Kind::Does::Encrypt},
    {"cbcPadDecrypt", CKM_AES_CBC_PAD, Kind::Does::Decrypt},
    {"ctr", CKM_AES_CTR, Kind::Does::Encrypt},
    {"gcm", CKM_AES_GCM, Kind::Does::Encrypt},
    {"gcmDecrypt", CKM_AES_GCM, Kind::Does::Decrypt},
};

class GroupMultipart : public WorkingGroup {
 protected:
  void SetUp() override {
    WorkingGroup::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_EQ(generate(CKM_RSA_PKCS_KEY_PAIR_GEN, "rsa", rsa_), CKR_OK);
    ASSERT_EQ(generateAes("aes", aes_), CKR_OK);
    CK_OBJECT_CLASS object = CKO_SECRET_KEY;
    CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
    Bytes value(32, 5);
    Template secret{{CKA_CLASS, &object, sizeof object},
                    {CKA_KEY_TYPE, &generic, sizeof generic},
                    flag(CKA_SIGN),
                    flag(CKA_VERIFY),
                    flag(CKA_PRIVATE),
                    flag(CKA_EXTRACTABLE),
                    flag(CKA_SENSITIVE, false),
                    {CKA_VALUE, value.data(), value.size()}};
    ASSERT_EQ(client.f->C_CreateObject(session, secret.data(), secret.size(), &hmac_), CKR_OK);
  }

  // The operation on `in` from its Init to its Final; between(i) comes before its i-th call after the Init.
  CK_RV run(const Kind& kind, const std::vector<Bytes>& parts, const Bytes& signature, Bytes& out,
            const std::function<void(std::size_t)>& between) {
    const auto f = client.f;
    CK_BYTE iv[16] = {3};
    CK_GCM_PARAMS gcm{iv, 12, 96, nullptr, 0, 128};
    CK_AES_CTR_PARAMS ctr{128, {}};
    CK_MECHANISM mechanism{kind.type, nullptr, 0};
    if (kind.type == CKM_AES_CBC_PAD) mechanism = {kind.type, iv, sizeof iv};
    if (kind.type == CKM_AES_GCM) mechanism = {kind.type, &gcm, sizeof gcm};
    if (kind.type == CKM_AES_CTR) mechanism = {kind.type, &ctr, sizeof ctr};
    const bool rsa = kind.type == CKM_SHA256_RSA_PKCS;
    out.clear();
    CK_RV rv = CKR_OK;
    switch (kind.does) {
      case Kind::Does::Digest:
        rv = f->C_DigestInit(session, &mechanism);
        break;
      case Kind::Does::Sign:
        rv = f->C_SignInit(session, &mechanism, rsa ? rsa_.privateKey : hmac_);
        break;
      case Kind::Does::Verify:
        rv = f->C_VerifyInit(session, &mechanism, rsa ? rsa_.publicKey : hmac_);
        break;
      case Kind::Does::Encrypt:
        rv = f->C_EncryptInit(session, &mechanism, aes_);
        break;
      case Kind::Does::Decrypt:
        rv = f->C_DecryptInit(session, &mechanism, aes_);
        break;
    }
    if (rv != CKR_OK) return rv;
    const auto give = [&](const Bytes& bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); };
    std::size_t step = 0;
    for (Bytes part : parts) {
      between(step++);
      Bytes room(part.size() + 4096);
      CK_ULONG size = room.size();
      switch (kind.does) {
        case Kind::Does::Digest:
          rv = f->C_DigestUpdate(session, part.data(), part.size());
          break;
        case Kind::Does::Sign:
          rv = f->C_SignUpdate(session, part.data(), part.size());
          break;
        case Kind::Does::Verify:
          rv = f->C_VerifyUpdate(session, part.data(), part.size());
          break;
        case Kind::Does::Encrypt:
          rv = f->C_EncryptUpdate(session, part.data(), part.size(), room.data(), &size);
          break;
        case Kind::Does::Decrypt:
          rv = f->C_DecryptUpdate(session, part.data(), part.size(), room.data(), &size);
          break;
      }
      if (rv != CKR_OK) return rv;
      if (kind.does < Kind::Does::Encrypt) continue;
      room.resize(size);
      give(room);
    }
    between(step);
    Bytes room(8192);
    CK_ULONG size = room.size();
    Bytes given = signature;
    switch (kind.does) {
      case Kind::Does::Digest:
        rv = f->C_DigestFinal(session, room.data(), &size);
        break;
      case Kind::Does::Sign:
        rv = f->C_SignFinal(session, room.data(), &size);
        break;
      case Kind::Does::Verify:
        return f->C_VerifyFinal(session, given.data(), given.size());
      case Kind::Does::Encrypt:
        rv = f->C_EncryptFinal(session, room.data(), &size);
        break;
      case Kind::Does::Decrypt:
        rv = f->C_DecryptFinal(session, room.data(), &size);
        break;
    }
    if (rv != CKR_OK) return rv;
    room.resize(size);
    give(room);
    return rv;
  }

  // The member on which the session's operation is: the one that was asked for an Init since `counts` were taken.
  using Counts = std::array<unsigned long, 3>;
  Counts inits(const Kind& kind) const {
    static constexpr const char* kInit[] = {"C_DigestInit", "C_SignInit", "C_VerifyInit", "C_EncryptInit",
                                            "C_DecryptInit"};
    Counts counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = asked(i, kInit[static_cast<std::size_t>(kind.does)]);
    return counts;
  }
  void failWhereItIs(const Kind& kind, const Counts& before) {
    const Counts now = inits(kind);
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (now[i] == before[i]) continue;
      tell("fail " + member(i) + " * CKR_DEVICE_ERROR");
      return;
    }
    ADD_FAILURE() << "no member was asked";
  }

  Pair rsa_;
  CK_OBJECT_HANDLE aes_ = 0;
  CK_OBJECT_HANDLE hmac_ = 0;
};

const auto kNothing = [](std::size_t) {};

class GroupMultipartOf : public GroupMultipart, public testing::WithParamInterface<Kind> {};

TEST_P(GroupMultipartOf, TheMemberFailsInTheMiddleAndAtTheEnd) {
  const Kind kind = GetParam();
  std::vector<Bytes> parts = {Bytes(5, 'a'), Bytes(100, 'b'), Bytes(32, 'c'), Bytes(1, 'd')};
  Bytes expected;
  Bytes signature;
  if (kind.does == Kind::Does::Verify) {
    ASSERT_EQ(run({"", kind.type, Kind::Does::Sign}, parts, {}, signature, kNothing), CKR_OK);
  } else if (kind.does == Kind::Does::Decrypt) {
    Bytes sealed;
    ASSERT_EQ(run({"", kind.type, Kind::Does::Encrypt}, parts, {}, sealed, kNothing), CKR_OK);
    parts = {Bytes(sealed.begin(), sealed.begin() + 3), Bytes(sealed.begin() + 3, sealed.begin() + 90),
             Bytes(sealed.begin() + 90, sealed.end() - 20), Bytes(sealed.end() - 20, sealed.end())};
  }
  ASSERT_EQ(run(kind, parts, signature, expected, kNothing), CKR_OK);
  // Two members, one after the other: the third is left.
  for (const std::size_t step : {std::size_t{2}, parts.size()}) {
    const Counts before = inits(kind);
    Bytes out;
    const CK_RV rv = run(kind, parts, signature, out, [&](std::size_t at) {
      if (at == step) failWhereItIs(kind, before);
    });
    EXPECT_EQ(rv, CKR_OK) << step;
    EXPECT_EQ(out, expected) << step;
  }
  await([&] { return logged("has dropped member") == 2; }, "two members dropped");
}

INSTANTIATE_TEST_SUITE_P(Kind, GroupMultipartOf, testing::ValuesIn(kKinds),
                         [](const auto& each) { return std::string(each.param.name); });

TEST_F(GroupMultipart, EachMemberInTurnTakesTheOperationOver) {
  const Kind kind{"cbc", CKM_AES_CBC_PAD, Kind::Does::Encrypt};
  const std::vector<Bytes> parts(3, Bytes(50, 'x'));
  Bytes expected;
  ASSERT_EQ(run(kind, parts, {}, expected, kNothing), CKR_OK);
  Counts before = inits(kind);
  Bytes out;
  EXPECT_EQ(run(kind, parts, {}, out,
                [&](std::size_t at) {
                  if (at == 0) return;
                  if (at == 3) return;
                  failWhereItIs(kind, before);
                  before = inits(kind);
                }),
            CKR_OK);
  EXPECT_EQ(out, expected);
}

TEST_F(GroupMultipart, BeyondTheJournalTheOperationEndsWithItsMember) {
  const Kind kind{"hmac", CKM_SHA256_HMAC, Kind::Does::Sign};
  const std::vector<Bytes> parts(3, Bytes(600'000, 'x'));
  const Counts before = inits(kind);
  Bytes out;
  EXPECT_EQ(run(kind, parts, {}, out,
                [&](std::size_t at) {
                  if (at == 2) failWhereItIs(kind, before);
                }),
            CKR_DEVICE_ERROR);
  Bytes more(1);
  EXPECT_EQ(client.f->C_SignUpdate(session, more.data(), more.size()), CKR_OPERATION_NOT_INITIALIZED);
  // Begun again, it works, elsewhere.
  EXPECT_EQ(run(kind, parts, {}, out, kNothing), CKR_OK);
}

TEST_F(GroupMultipart, ASizeQueryTakesNothing) {
  const Kind kind{"ctr", CKM_AES_CTR, Kind::Does::Encrypt};
  const Counts before = inits(kind);
  Bytes expected;
  ASSERT_EQ(run(kind, {Bytes(40, 'x')}, {}, expected, kNothing), CKR_OK);
  Bytes out;
  const Counts again = inits(kind);
  EXPECT_NE(before, again);
  EXPECT_EQ(run(kind, {Bytes(40, 'x')}, {}, out,
                [&](std::size_t at) {
                  Bytes part(40, 'x');
                  CK_ULONG size = 0;
                  if (at == 0) {
                    EXPECT_EQ(client.f->C_EncryptUpdate(session, part.data(), part.size(), nullptr, &size), CKR_OK);
                    Bytes little(1);
                    size = 0;
                    EXPECT_EQ(client.f->C_EncryptUpdate(session, part.data(), part.size(), little.data(), &size),
                              CKR_BUFFER_TOO_SMALL);
                  } else {
                    failWhereItIs(kind, again);
                  }
                }),
            CKR_OK);
  EXPECT_EQ(out, expected);
}

}  // namespace
}  // namespace p11ha::tests
