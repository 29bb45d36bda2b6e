#include "ha/public_part.h"

#include <gtest/gtest.h>

namespace p11ha::ha {
namespace {

using Bytes = std::vector<std::uint8_t>;

Identity objectOf(CK_OBJECT_CLASS objectClass, Bytes id, Bytes material, Bytes label = {}) {
  Identity i;
  i.objectClass = objectClass;
  i.type = CKK_EC;
  i.token = true;
  i.label = std::move(label);
  i.id = std::move(id);
  i.material = std::move(material);
  return i;
}
Identity publicKey(Bytes id, Bytes material, Bytes label = {}) {
  return objectOf(CKO_PUBLIC_KEY, std::move(id), std::move(material), std::move(label));
}
Identity privateKey(Bytes id, Bytes label = {}) {
  return objectOf(CKO_PRIVATE_KEY, std::move(id), {}, std::move(label));
}

TEST(LendMaterial, OfOnePairThePublicKeyLends) {
  std::vector<Identity> all = {privateKey({1}), publicKey({1}, {7}), publicKey({2}, {8}), privateKey({2})};
  EXPECT_TRUE(lendMaterial(all).empty());
  EXPECT_EQ(all[0].material, Bytes{7});
  EXPECT_TRUE(all[0].lent);
  EXPECT_EQ(all[3].material, Bytes{8});
  EXPECT_TRUE(all[3].lent);
  EXPECT_FALSE(all[1].lent);
  EXPECT_EQ(all[1].material, Bytes{7});
}

TEST(LendMaterial, ALabelIsNoReasonNotTo) {
  std::vector<Identity> all = {privateKey({1}, {'a'}), publicKey({1}, {7}, {'b'})};
  EXPECT_TRUE(lendMaterial(all).empty());
  EXPECT_EQ(all[0].material, Bytes{7});
}

TEST(LendMaterial, WithoutAnIdEvenOneIsToBeTried) {
  std::vector<Identity> all = {publicKey({}, {7}), privateKey({})};
  const std::vector<Undecided> undecided = lendMaterial(all);
  ASSERT_EQ(undecided.size(), 1U);
  EXPECT_EQ(undecided[0].key, 1U);
  EXPECT_EQ(undecided[0].publicKeys, std::vector<std::size_t>{0});
  EXPECT_TRUE(all[1].material.empty());
  EXPECT_FALSE(all[1].lent);
}

TEST(LendMaterial, OneOfSeveralIsToBeTried) {
  std::vector<Identity> twoPublic = {privateKey({1}), publicKey({1}, {7}), publicKey({1}, {8})};
  std::vector<Undecided> undecided = lendMaterial(twoPublic);
  ASSERT_EQ(undecided.size(), 1U);
  EXPECT_EQ(undecided[0].publicKeys, (std::vector<std::size_t>{1, 2}));
  EXPECT_TRUE(twoPublic[0].material.empty());

  std::vector<Identity> twoPrivate = {privateKey({1}), publicKey({1}, {7}), privateKey({1})};
  undecided = lendMaterial(twoPrivate);
  ASSERT_EQ(undecided.size(), 2U);
  EXPECT_EQ(undecided[0].key, 0U);
  EXPECT_EQ(undecided[1].key, 2U);
  for (const Undecided& each : undecided) EXPECT_EQ(each.publicKeys, std::vector<std::size_t>{1});
  for (const std::size_t i : {0U, 2U}) EXPECT_TRUE(twoPrivate[i].material.empty());
}

TEST(LendMaterial, ThoseOfItsLabelAreTriedFirst) {
  std::vector<Identity> all = {publicKey({1}, {7}, {'a'}), publicKey({1}, {8}, {'b'}), publicKey({1}, {9}, {'a'}),
                               privateKey({1}, {'b'}), privateKey({1}, {'a'})};
  const std::vector<Undecided> undecided = lendMaterial(all);
  ASSERT_EQ(undecided.size(), 2U);
  EXPECT_EQ(undecided[0].key, 3U);
  EXPECT_EQ(undecided[0].publicKeys, (std::vector<std::size_t>{1, 0, 2}));
  EXPECT_EQ(undecided[1].key, 4U);
  EXPECT_EQ(undecided[1].publicKeys, (std::vector<std::size_t>{0, 2, 1}));
}

TEST(LendMaterial, WhatAKeyHasItKeepsAndItCounts) {
  Identity known = privateKey({1});
  known.material = {9};
  std::vector<Identity> all = {known, publicKey({1}, {7}), privateKey({1})};
  const std::vector<Undecided> undecided = lendMaterial(all);
  EXPECT_EQ(all[0], known);
  ASSERT_EQ(undecided.size(), 1U) << "the public key may be that of either";
  EXPECT_EQ(undecided[0].key, 2U);
  EXPECT_TRUE(all[2].material.empty());
}

TEST(LendMaterial, NobodyElseLends) {
  Identity rsa = publicKey({1}, {7});
  rsa.type = CKK_RSA;
  const std::vector<Identity> others = {publicKey({2}, {7}), rsa, objectOf(CKO_CERTIFICATE, {1}, {7}),
                                        publicKey({1}, {})};
  for (const Identity& other : others) {
    std::vector<Identity> all = {privateKey({1}), other};
    EXPECT_TRUE(lendMaterial(all).empty());
    EXPECT_EQ(all[0], privateKey({1}));
  }
}

TEST(LendMaterial, OnlyPrivateKeysBorrow) {
  const Identity secret = objectOf(CKO_SECRET_KEY, {1}, {});
  std::vector<Identity> all = {secret, publicKey({1}, {7})};
  EXPECT_TRUE(lendMaterial(all).empty());
  EXPECT_EQ(all[0], secret);
  std::vector<Identity> none;
  EXPECT_TRUE(lendMaterial(none).empty());
}

}  // namespace
}  // namespace p11ha::ha
