#include "cryptoki/mechanism.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "cryptoki/owned_mechanism.h"

namespace p11ha::cryptoki {
namespace {

template <class T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// An application's parameter, filled as its shape says, each block in memory of exactly its size so that a sanitizer
// sees whatever is read or written beyond.
class Parameter {
 public:
  static constexpr CK_ULONG kLength = 24;  // what every length is, in bytes or bits
  static constexpr CK_ULONG kCount = 2;
  static constexpr CK_OBJECT_HANDLE kFirstHandle = 1000;

  explicit Parameter(const ParameterShape& shape, bool passwordLengthBehindPointer = false)
      : shape_(&shape), indirect_(passwordLengthBehindPointer), top_(take(shape.size)) {
    fill(shape, top_, nullptr);
  }

  void* data() { return top_; }
  CK_ULONG size() const { return shape_->size; }
  std::size_t handles() const { return handles_; }

  // Turns what is behind it into what a member would have made of it.
  static std::size_t writeAsMember(const ParameterShape& shape, void* base, const void* parent) {
    std::size_t written = 0;
    auto* const at = static_cast<std::uint8_t*>(base);
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::NewHandle) {
        store<CK_OBJECT_HANDLE>(at + field.offset, 77 + written++);
        continue;
      }
      const auto [data, size, inner] = pointee(field, at, parent);
      if (data == nullptr) continue;
      for (std::size_t i = 0; inner != nullptr && i < size / inner->size; ++i) {
        written += writeAsMember(*inner, static_cast<std::uint8_t*>(data) + i * inner->size, at);
      }
      if (inner != nullptr || field.direction == Direction::In || field.kind == FieldKind::CountPointer) continue;
      std::memset(data, 0xAB, size);
      ++written;
    }
    return written;
  }

  // Both built from one shape: what they point to is equal, and no block is shared.
  static void expectEqualButApart(const ParameterShape& shape, const void* a, const void* b, const void* parentA,
                                  const void* parentB) {
    for (const ParameterField& field : shape.fields) {
      const auto [x, sizeX, innerX] = pointee(field, a, parentA);
      const auto [y, sizeY, innerY] = pointee(field, b, parentB);
      const auto* const fieldA = static_cast<const std::uint8_t*>(a) + field.offset;
      const auto* const fieldB = static_cast<const std::uint8_t*>(b) + field.offset;
      if (x == nullptr || y == nullptr) {
        EXPECT_EQ(x, y) << shape.name << " at " << field.offset;
        EXPECT_EQ(std::memcmp(fieldA, fieldB, field.size), 0) << shape.name << " at " << field.offset;
        continue;
      }
      EXPECT_NE(x, y) << shape.name << " at " << field.offset;
      ASSERT_EQ(sizeX, sizeY) << shape.name << " at " << field.offset;
      if (innerX == nullptr) {
        EXPECT_EQ(std::memcmp(x, y, sizeX), 0) << shape.name << " at " << field.offset;
        continue;
      }
      for (std::size_t i = 0; i < sizeX / innerX->size; ++i) {
        expectEqualButApart(*innerX, static_cast<std::uint8_t*>(x) + i * innerX->size,
                            static_cast<std::uint8_t*>(y) + i * innerY->size, a, b);
      }
    }
  }

 private:
  struct Pointee {
    void* data;
    std::size_t size;
    const ParameterShape* inner;
  };

  // The test's own reading of a field, of parameters that are well formed.
  static Pointee pointee(const ParameterField& field, const void* base, const void* parent) {
    const auto* const at = static_cast<const std::uint8_t*>(base);
    const auto* const length = (field.lengthInParent ? static_cast<const std::uint8_t*>(parent) : at) + field.length;
    void* const data = field.size == sizeof(void*) ? load<void*>(at + field.offset) : nullptr;
    switch (field.kind) {
      case FieldKind::Bytes:
      case FieldKind::AttributeValue:
      case FieldKind::MechanismParameter:
      case FieldKind::MessageParameter:
        return {data, load<CK_ULONG>(length), nullptr};
      case FieldKind::Bits:
        return {data, (load<CK_ULONG>(length) + 7) / 8, nullptr};
      case FieldKind::Fixed:
        return {data, field.fixed, nullptr};
      case FieldKind::CountPointer:
        return {data, sizeof(CK_ULONG), nullptr};
      case FieldKind::Counted:
        return {data, load<CK_ULONG>(load<void*>(length)), nullptr};
      case FieldKind::PasswordLength:
        return {load<CK_ULONG>(at + field.offset) < 65536 ? nullptr : data, sizeof(CK_ULONG), nullptr};
      case FieldKind::Password: {
        const auto given = load<CK_ULONG>(length);
        return {data, given < 65536 ? given : load<CK_ULONG>(load<void*>(length)), nullptr};
      }
      case FieldKind::Pointer:
        return {data, field.target->size, field.target};
      case FieldKind::Array:
        return {data, load<CK_ULONG>(length) * field.target->size, field.target};
      default:
        return {nullptr, 0, nullptr};
    }
  }

  std::uint8_t* take(std::size_t size) {
    auto& block = blocks_.emplace_back(new std::uint8_t[size]);
    for (std::size_t i = 0; i < size; ++i) block[i] = static_cast<std::uint8_t>(blocks_.size() * 7 + i);
    return block.get();
  }

  void fill(const ParameterShape& shape, std::uint8_t* base, const std::uint8_t* parent) {
    std::memset(base, 0, shape.size);
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::Ulong || field.kind == FieldKind::Generator) store(base + field.offset, kLength);
      if (field.kind == FieldKind::Flat) std::memset(base + field.offset, 0x5A, field.size);
    }
    for (const ParameterField& field : shape.fields) {
      if (field.kind == FieldKind::Array) store(base + field.length, kCount);
      if (field.conditionSize == 1) base[field.condition] = CK_TRUE;
      if (field.conditionSize == 8) {
        store(base + field.condition, load<CK_ULONG>(base + field.condition) | field.conditionBits);
      }
    }
    if (shape.name == "CK_ATTRIBUTE") store<CK_ATTRIBUTE_TYPE>(base, CKA_LABEL);
    if (shape.name == "CK_MECHANISM") store<CK_MECHANISM_TYPE>(base, CKM_AES_CBC);
    for (const ParameterField& field : shape.fields) {
      std::uint8_t* const at = base + field.offset;
      switch (field.kind) {
        case FieldKind::Handle:
          store(at, kFirstHandle + handles_++);
          break;
        case FieldKind::CountPointer: {
          std::uint8_t* const count = take(sizeof(CK_ULONG));
          store(count, kLength);
          store(at, count);
          break;
        }
        case FieldKind::PasswordLength:
          if (indirect_) {
            std::uint8_t* const length = take(sizeof(CK_ULONG));
            store(length, kLength);
            store(at, length);
          } else {
            store(at, kLength);
          }
          break;
        default:
          if (auto [ignored, size, inner] = pointee(field, base, parent); size != 0) {
            std::uint8_t* const block = take(size);
            store(at, block);
            for (std::size_t i = 0; inner != nullptr && i < size / inner->size; ++i) {
              fill(*inner, block + i * inner->size, base);
            }
          }
      }
    }
  }

  const ParameterShape* shape_;
  bool indirect_;
  std::size_t handles_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> blocks_;
  std::uint8_t* top_;
};

TEST(Mechanism, EveryRowIsFoundByItsTypeAndNamed) {
  ASSERT_GT(allMechanisms().size(), 400U);
  std::set<std::string_view> names;
  for (const MechanismInfo& row : allMechanisms()) {
    EXPECT_EQ(mechanismInfo(row.type), &row);
    EXPECT_EQ(mechanismName(row.type), row.name);
    EXPECT_EQ(row.name.substr(0, 4), "CKM_");
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    const bool structured = !parameterShapes(row.parameter).empty();
    EXPECT_EQ(structured, !isFlat(row.parameter) && row.parameter != ParameterKind::Unknown) << row.name;
  }
  EXPECT_TRUE(isKnownMechanism(CKM_AES_GCM));
  EXPECT_FALSE(isKnownMechanism(CKM_VENDOR_DEFINED | 1));
  EXPECT_EQ(mechanismName(CKM_VENDOR_DEFINED | 1), "unknown mechanism");
}

TEST(Mechanism, ShapesCoverTheirStructures) {
  for (const ParameterShape* shape : allParameterShapes()) {
    std::vector<ParameterField> fields(shape->fields.begin(), shape->fields.end());
    std::sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
    std::size_t end = 0;
    for (const ParameterField& field : fields) {
      EXPECT_GE(field.offset, end) << shape->name << ": members overlap";
      EXPECT_LT(field.offset - end, 8U) << shape->name << ": a member is missing before " << field.offset;
      if (field.offset != end) {
        EXPECT_NE(end % 8, 0U) << shape->name << ": a member is missing at " << end;
      }
      end = field.offset + field.size;
    }
    EXPECT_LE(shape->size - end, 7U) << shape->name << ": a member is missing at the end";
    EXPECT_TRUE(end == shape->size || end % 8 != 0) << shape->name;
  }
}

TEST(Mechanism, AlternativesDifferInSize) {
  for (const MechanismInfo& row : allMechanisms()) {
    std::set<std::size_t> sizes;
    for (const ParameterShape* shape : parameterShapes(row.parameter)) {
      EXPECT_TRUE(sizes.insert(shape->size).second) << row.name;
      EXPECT_EQ(parameterShape(row.parameter, shape->size), shape);
    }
    EXPECT_EQ(parameterShape(row.parameter, 3), nullptr);
  }
}

struct Case {
  CK_MECHANISM_TYPE type;
  const ParameterShape* shape;
  bool message;
};

std::vector<Case> everyShapeOfEveryMechanism() {
  std::vector<Case> cases;
  for (const MechanismInfo& row : allMechanisms()) {
    for (const ParameterShape* shape : parameterShapes(row.parameter)) cases.push_back({row.type, shape, false});
    if (const ParameterShape* shape = messageShape(row.type)) cases.push_back({row.type, shape, true});
  }
  return cases;
}

CK_RV assign(OwnedMechanism& owned, const Case& c, Parameter& parameter) {
  return c.message ? owned.assignMessage(c.type, parameter.data(), parameter.size())
                   : owned.assign({c.type, parameter.data(), parameter.size()});
}

TEST(OwnedMechanism, TakesEveryParameterThatTheTableHas) {
  OwnedMechanism owned;
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    for (const bool indirect : {false, true}) {
      {
        Parameter gone(*c.shape, indirect);
        ASSERT_EQ(assign(owned, c, gone), CKR_OK);
      }
      Parameter again(*c.shape, indirect);
      EXPECT_EQ(owned.type(), c.type);
      ASSERT_EQ(owned.get()->ulParameterLen, c.shape->size);
      EXPECT_TRUE(owned.sameAs({c.type, again.data(), again.size()}));

      std::size_t handles = 0;
      CK_OBJECT_HANDLE sum = 0;
      owned.forEachHandle([&](CK_OBJECT_HANDLE& handle) {
        ++handles;
        sum += handle++;
      });
      EXPECT_EQ(handles, again.handles());
      EXPECT_EQ(sum, handles * Parameter::kFirstHandle + handles * (handles - 1) / 2);
      EXPECT_EQ(owned.sameAs({c.type, again.data(), again.size()}), handles == 0);
      owned.forEachNewHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE() << "the member has written none"; });
    }
  }
}

TEST(OwnedMechanism, WritesBackWhatTheMemberWrote) {
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    Parameter application(*c.shape);
    Parameter expected(*c.shape);
    OwnedMechanism owned;
    ASSERT_EQ(assign(owned, c, application), CKR_OK);
    CK_MECHANISM mechanism{c.type, application.data(), application.size()};
    EXPECT_EQ(owned.writeBack(mechanism), c.type == CKM_TLS_PRF || c.type == CKM_WTLS_PRF)
        << "nothing was written but what is counted as an answer";

    Parameter fresh(*c.shape);
    CK_MECHANISM target{c.type, fresh.data(), fresh.size()};
    const std::size_t written = Parameter::writeAsMember(*c.shape, owned.get()->pParameter, nullptr);
    EXPECT_EQ(Parameter::writeAsMember(*c.shape, expected.data(), nullptr), written);
    EXPECT_EQ(owned.writeBack(target), written != 0);
    Parameter::expectEqualButApart(*c.shape, fresh.data(), expected.data(), nullptr, nullptr);
    EXPECT_TRUE(written == 0 || owned.pinned());

    std::set<CK_OBJECT_HANDLE> made;
    owned.forEachNewHandle([&](CK_OBJECT_HANDLE& handle) { made.insert(handle); });
    for (const CK_OBJECT_HANDLE handle : made) EXPECT_GE(handle, 77U);
  }
}

TEST(OwnedMechanism, CopiesAndMovesStandAlone) {
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    Parameter again(*c.shape);
    const CK_MECHANISM same{c.type, again.data(), again.size()};
    OwnedMechanism copy;
    OwnedMechanism moved;
    {
      auto owned = std::make_unique<OwnedMechanism>();
      Parameter gone(*c.shape);
      ASSERT_EQ(assign(*owned, c, gone), CKR_OK);
      copy = *owned;
      EXPECT_TRUE(owned->sameAs(same));
      moved = std::move(*owned);
    }
    EXPECT_TRUE(copy.sameAs(same));
    EXPECT_TRUE(moved.sameAs(same));
    const OwnedMechanism third(std::move(copy));
    EXPECT_TRUE(third.sameAs(same));
    moved = OwnedMechanism(third);
    EXPECT_TRUE(moved.sameAs(same));
    Parameter::expectEqualButApart(*c.shape, moved.get()->pParameter, third.get()->pParameter, nullptr, nullptr);
  }
}

TEST(OwnedMechanism, CopiesKeepWhatTheMemberWrote) {
  std::uint8_t seed[4] = {1, 2, 3, 4};
  std::uint8_t output[200] = {};
  CK_ULONG room = sizeof output;
  CK_TLS_PRF_PARAMS prf{seed, sizeof seed, nullptr, 0, output, &room};
  CK_MECHANISM application{CKM_TLS_PRF, &prf, sizeof prf};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  auto* const inner = static_cast<CK_TLS_PRF_PARAMS*>(owned.get()->pParameter);
  std::memset(inner->pOutput, 9, 50);
  *inner->pulOutputLen = 50;
  OwnedMechanism copy(owned);
  OwnedMechanism moved(std::move(owned));
  EXPECT_TRUE(copy.writeBack(application));
  EXPECT_EQ(room, 50U);
  EXPECT_EQ(output[49], 9);
  EXPECT_EQ(output[50], 0);
  room = 10;
  std::memset(output, 0, sizeof output);
  EXPECT_TRUE(moved.writeBack(application)) << "within the room that the application has";
  EXPECT_EQ(output[9], 9);
  EXPECT_EQ(output[10], 0);
}

TEST(OwnedMechanism, PassesOnNoParameterWhateverTheMechanism) {
  OwnedMechanism owned;
  std::uint8_t iv[16] = {};
  ASSERT_EQ(owned.assign({CKM_AES_CBC, iv, sizeof iv}), CKR_OK);
  for (const CK_MECHANISM_TYPE type : {CKM_SHA256, CKM_AES_GCM, CKM_HOTP, CKM_VENDOR_DEFINED | 5UL}) {
    ASSERT_EQ(owned.assign({type, iv, 0}), CKR_OK);
    EXPECT_EQ(owned.type(), type);
    EXPECT_EQ(owned.get()->pParameter, nullptr);
    EXPECT_EQ(owned.get()->ulParameterLen, 0U);
    EXPECT_TRUE(owned.sameAs({type, nullptr, 0}));
    EXPECT_FALSE(owned.sameAs({type, iv, 16}));
    EXPECT_FALSE(owned.pinned());
    CK_MECHANISM application{type, iv, 0};
    EXPECT_FALSE(owned.writeBack(application));
    const OwnedMechanism copy(owned);
    EXPECT_EQ(copy.type(), type);
  }
  EXPECT_EQ(owned.assignMessage(CKM_AES_GCM, nullptr, 0), CKR_OK);
}

TEST(OwnedMechanism, RefusesWhatItCannotCopySafely) {
  OwnedMechanism owned;
  std::uint8_t byte = 0;
  const auto refused = [&](CK_MECHANISM_TYPE type, void* parameter, CK_ULONG length) {
    const bool is = owned.assign({type, parameter, length}) == CKR_MECHANISM_PARAM_INVALID;
    EXPECT_EQ(owned.get()->pParameter, nullptr);
    return is;
  };
  EXPECT_TRUE(refused(CKM_VENDOR_DEFINED | 5UL, &byte, 1)) << "unknown";
  EXPECT_TRUE(refused(CKM_HOTP, &byte, 1)) << "known by name only";
  EXPECT_TRUE(refused(CKM_AES_CBC, nullptr, 16));
  EXPECT_TRUE(refused(CKM_AES_CBC, &byte, kMaxParameterField + 1));
  EXPECT_TRUE(refused(CKM_AES_CBC, &byte, ~0UL));
  CK_GCM_PARAMS gcm{};
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm - 1));
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm + 8));
  EXPECT_TRUE(refused(CKM_RSA_PKCS_PSS, &gcm, sizeof(CK_RSA_PKCS_PSS_PARAMS) + 1));
  gcm.ulAADLen = 1;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm)) << "a length and no pointer";
  gcm.pAAD = &byte;
  gcm.ulAADLen = kMaxParameterField + 1;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm));
  gcm.ulAADLen = ~0UL;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm));
  CK_CHACHA20_PARAMS chacha{&byte, ~0UL, &byte, 8};
  EXPECT_TRUE(refused(CKM_CHACHA20, &chacha, sizeof chacha)) << "bits";
  CK_SP800_108_KDF_PARAMS kdf{};
  kdf.ulNumberOfDataParams = ~0UL;
  kdf.pDataParams = reinterpret_cast<CK_PRF_DATA_PARAM*>(&byte);
  EXPECT_TRUE(refused(CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf)) << "a count whose product overflows";
  EXPECT_EQ(owned.assignMessage(CKM_AES_CBC, &byte, 1), CKR_MECHANISM_PARAM_INVALID) << "has no messages";
  EXPECT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm - 1), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_EQ(owned.assign({CKM_SHA256, nullptr, 0}), CKR_OK) << "and goes on after that";
}

TEST(OwnedMechanism, BoundsDepthAndTheSumOfAliases) {
  OwnedMechanism owned;
  CK_KIP_PARAMS kip{};
  CK_MECHANISM self{CKM_KIP_DERIVE, &kip, sizeof kip};
  kip.pMechanism = &self;
  EXPECT_EQ(owned.assign(self), CKR_MECHANISM_PARAM_INVALID);

  std::vector<std::uint8_t> large(kMaxParameterField);
  std::vector<CK_PRF_DATA_PARAM> aliases(kMaxParameter / kMaxParameterField + 1,
                                         {CK_SP800_108_BYTE_ARRAY, large.data(), large.size()});
  CK_SP800_108_KDF_PARAMS kdf{CKM_SHA256_HMAC, aliases.size(), aliases.data(), 0, nullptr};
  EXPECT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_MECHANISM_PARAM_INVALID);
  kdf.ulNumberOfDataParams = 3;
  EXPECT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_OK);
}

TEST(OwnedMechanism, LeavesConstantInitializationVectorsAlone) {
  static constexpr std::uint8_t kIv[12] = {1, 2, 3};  // in memory that cannot be written
  CK_GCM_PARAMS gcm{const_cast<CK_BYTE*>(kIv), sizeof kIv, 96, nullptr, 0, 128};
  CK_MECHANISM application{CKM_AES_GCM, &gcm, sizeof gcm};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  EXPECT_FALSE(owned.writeBack(application));
  EXPECT_FALSE(owned.pinned());
}

TEST(OwnedMechanism, IsPinnedOnceTheTokenWroteAnInitializationVector) {
  std::uint8_t iv[12] = {};
  CK_GCM_PARAMS gcm{iv, sizeof iv, 96, nullptr, 0, 128};
  CK_MECHANISM application{CKM_AES_GCM, &gcm, sizeof gcm};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  EXPECT_FALSE(owned.pinned());
  auto* const inner = static_cast<CK_GCM_PARAMS*>(owned.get()->pParameter);
  inner->pIv[3] = 9;
  inner->ulIvLen = 100;  // a token's lie about its length reaches nobody's memory
  EXPECT_TRUE(owned.writeBack(application));
  EXPECT_EQ(iv[3], 9);
  EXPECT_EQ(gcm.ulIvLen, sizeof iv);
  EXPECT_TRUE(owned.pinned());
  const OwnedMechanism copy(owned);
  EXPECT_TRUE(copy.pinned());
  ASSERT_EQ(owned.assign({CKM_SHA256, nullptr, 0}), CKR_OK);
  EXPECT_FALSE(owned.pinned());
}

TEST(OwnedMechanism, IsPinnedBeforehandByAMessageGenerator) {
  std::uint8_t iv[12] = {};
  std::uint8_t tag[16] = {};
  CK_GCM_MESSAGE_PARAMS gcm{iv, sizeof iv, 0, CKG_NO_GENERATE, tag, 128};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm), CKR_OK);
  EXPECT_FALSE(owned.pinned());
  gcm.ivGenerator = CKG_GENERATE_RANDOM;
  ASSERT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm), CKR_OK);
  EXPECT_TRUE(owned.pinned());
}

TEST(OwnedMechanism, LeavesOutWhatAFlagSwitchesOff) {
  OwnedMechanism owned;
  CK_HKDF_PARAMS hkdf{};
  hkdf.bExpand = CK_TRUE;
  hkdf.ulSaltType = CKF_HKDF_SALT_NULL;
  hkdf.hSaltKey = 12345;                               // never set by the application
  hkdf.pSalt = reinterpret_cast<CK_BYTE*>(0x1234567);  // neither
  hkdf.ulSaltLen = 99;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE(); });
  EXPECT_EQ(static_cast<CK_HKDF_PARAMS*>(owned.get()->pParameter)->pSalt, nullptr);
  EXPECT_TRUE(owned.sameAs({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}));

  hkdf.ulSaltType = CKF_HKDF_SALT_KEY;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE& handle) { handle = 7; });
  EXPECT_EQ(static_cast<CK_HKDF_PARAMS*>(owned.get()->pParameter)->hSaltKey, 7U);
  EXPECT_EQ(hkdf.hSaltKey, 12345U);
  hkdf.hSaltKey = CK_INVALID_HANDLE;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE(); });
}

TEST(OwnedMechanism, CarriesNewHandlesAndVectorsOfDerivedKeys) {
  std::uint8_t random[32] = {};
  std::uint8_t client[8] = {};
  CK_SSL3_KEY_MAT_OUT out{1, 2, 3, 4, client, nullptr};
  CK_SSL3_KEY_MAT_PARAMS keys{160, 128, 64, CK_FALSE, {random, 32, random, 32}, &out};
  CK_MECHANISM application{CKM_TLS_KEY_AND_MAC_DERIVE, &keys, sizeof keys};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  auto* const made = static_cast<CK_SSL3_KEY_MAT_PARAMS*>(owned.get()->pParameter)->pReturnedKeyMaterial;
  EXPECT_EQ(made->hClientKey, CK_OBJECT_HANDLE{CK_INVALID_HANDLE}) << "the application's garbage is not the member's";
  made->hClientKey = 5;
  made->hServerKey = 6;
  made->pIVClient[7] = 1;
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE() << "none goes in"; });
  owned.forEachNewHandle([](CK_OBJECT_HANDLE& handle) { handle += 100; });
  EXPECT_TRUE(owned.writeBack(application));
  EXPECT_EQ(out.hClientKey, 105U);
  EXPECT_EQ(out.hServerKey, 106U);
  EXPECT_EQ(out.hClientMacSecret, 1U) << "not written by the member";
  EXPECT_EQ(client[7], 1);
}

TEST(OwnedMechanism, CopiesTemplatesOfDerivedKeysWithWhatIsNestedInThem) {
  OwnedMechanism owned;
  CK_OBJECT_HANDLE handle = 0;
  {
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE nested[] = {{CKA_PRIVATE, &yes, sizeof yes}};
    CK_ATTRIBUTE attributes[] = {{CKA_TOKEN, &yes, sizeof yes}, {CKA_UNWRAP_TEMPLATE, nested, sizeof nested}};
    CK_DERIVED_KEY derived{attributes, 2, &handle};
    CK_SP800_108_KDF_PARAMS kdf{CKM_SHA256_HMAC, 0, nullptr, 1, &derived};
    ASSERT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_OK);
    EXPECT_TRUE(owned.sameAs({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}));
    nested[0].ulValueLen = 0;
    EXPECT_FALSE(owned.sameAs({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}));
    attributes[1].ulValueLen = 25;
    OwnedMechanism other;
    EXPECT_EQ(other.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_MECHANISM_PARAM_INVALID);
    std::memset(static_cast<void*>(attributes), 0xEE, sizeof attributes);
    std::memset(static_cast<void*>(nested), 0xEE, sizeof nested);
  }
  const auto* kdf = static_cast<const CK_SP800_108_KDF_PARAMS*>(owned.get()->pParameter);
  const CK_ATTRIBUTE& unwrap = kdf->pAdditionalDerivedKeys[0].pTemplate[1];
  EXPECT_EQ(unwrap.type, CK_ATTRIBUTE_TYPE{CKA_UNWRAP_TEMPLATE});
  EXPECT_EQ(load<CK_BBOOL>(static_cast<const CK_ATTRIBUTE*>(unwrap.pValue)->pValue), CK_TRUE);
}

TEST(OwnedMechanism, TellsTheTwoPbkd2StructuresApart) {
  std::uint8_t password[] = {'p', 'w'};
  std::uint8_t salt[8] = {};
  CK_ULONG length = sizeof password;
  CK_PKCS5_PBKD2_PARAMS first{CKZ_SALT_SPECIFIED, salt,   sizeof salt, 1000, CKP_PKCS5_PBKD2_HMAC_SHA256, nullptr, 0,
                              password,           &length};
  CK_PKCS5_PBKD2_PARAMS2 second{CKZ_SALT_SPECIFIED, salt,  sizeof salt, 1000, CKP_PKCS5_PBKD2_HMAC_SHA256, nullptr, 0,
                                password,           length};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign({CKM_PKCS5_PBKD2, &first, sizeof first}), CKR_OK);
  const auto* copied = static_cast<const CK_PKCS5_PBKD2_PARAMS*>(owned.get()->pParameter);
  EXPECT_NE(copied->ulPasswordLen, &length);
  EXPECT_EQ(*copied->ulPasswordLen, 2U);
  EXPECT_EQ(copied->pPassword[1], 'w');
  ASSERT_EQ(owned.assign({CKM_PKCS5_PBKD2, &second, sizeof second}), CKR_OK);
  const auto* copied2 = static_cast<const CK_PKCS5_PBKD2_PARAMS2*>(owned.get()->pParameter);
  EXPECT_EQ(copied2->ulPasswordLen, 2U);
  EXPECT_EQ(copied2->pPassword[0], 'p');
}

TEST(OwnedMechanism, KeepsEmptyAndAbsentApart) {
  // SoftHSM refuses an OAEP label that is there, even an empty one: it shall see what the application gave.
  std::uint8_t byte = 0;
  CK_RSA_PKCS_OAEP_PARAMS oaep{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, &byte, 0};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign({CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}), CKR_OK);
  const auto* const copied = static_cast<const CK_RSA_PKCS_OAEP_PARAMS*>(owned.get()->pParameter);
  EXPECT_NE(copied->pSourceData, nullptr);
  EXPECT_NE(copied->pSourceData, &byte);
  CK_RSA_PKCS_OAEP_PARAMS absent = oaep;
  absent.pSourceData = nullptr;
  EXPECT_FALSE(owned.sameAs({CKM_RSA_PKCS_OAEP, &absent, sizeof absent}));
}

}  // namespace
}  // namespace p11ha::cryptoki
