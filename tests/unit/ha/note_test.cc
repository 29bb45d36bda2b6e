// Notes: what is written is read, and nothing else is.
#include "ha/notes/note.h"

#include <gtest/gtest.h>

#include "ha/notes/note_table.h"
#include "ha/notes/on_member.h"
#include "tests/support/scripted_member.h"

namespace p11ha::ha::notes {
namespace {

Identity key(const std::string& label, std::vector<std::uint8_t> material = {1, 2, 3}) {
  Identity identity{CKO_PRIVATE_KEY, CKK_EC, true, true, {}, {7}, std::move(material), false};
  identity.label.assign(label.begin(), label.end());
  return identity;
}

Subject secret() {
  Subject subject{CKO_SECRET_KEY, CKK_AES, true, {'k'}, {1, 2}, std::vector<std::uint8_t>(32, 9), {}, {}};
  subject.witness = Witness{3, {}, {4, 5, 6}};
  subject.witness->salt.fill(8);
  return subject;
}

std::vector<Note> oneOfEach() {
  return {{"1000", Record{subjectOf(key("one")), {true, true, false, false, CKM_EC_KEY_PAIR_GEN}, 5}},
          {"1000", Record{secret(), {false, false, true, true, CK_UNAVAILABLE_INFORMATION}, 6}},
          {"1000", Record{secret(), {true, false, true, false, CKM_AES_KEY_GEN, true, false}, 7}},
          {"1000", Record{secret(), {true, true, true, false, CKM_AES_KEY_GEN, false, true}, 8}},
          {"1000", Record{secret(), {true, true, true, false, CKM_AES_KEY_GEN, false, false, 32}, 9}},
          {"1000", Tombstone{secret(), 1'700'000'000'123, false, "A"}},
          {"", Tombstone{subjectOf(key("two", {})), ~std::uint64_t{0}, true}},
          {"2000", Change{subjectOf(key("old")), subjectOf(key("new")), {CKA_LABEL, CKA_ID}, 77, "B"}}};
}

TEST(Note, IsReadAsItWasWritten) {
  for (const Note& note : oneOfEach()) {
    const auto value = encode(note);
    ASSERT_FALSE(value.empty());
    const auto read = decode(value);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, note);
  }
}

TEST(Note, IsNothingCutOrContinued) {
  for (const Note& note : oneOfEach()) {
    auto value = encode(note);
    for (std::size_t size = 0; size < value.size(); ++size) EXPECT_FALSE(decode(std::span(value).first(size))) << size;
    value.push_back(0);
    EXPECT_FALSE(decode(value));
  }
}

TEST(Note, WhoseMaterialIsAnothersIsNone) {
  Note note{"1000", Tombstone{subjectOf(key("one")), 1, false}};
  ASSERT_FALSE(std::get<Tombstone>(note.says).about.material.empty());
  ASSERT_TRUE(decode(encode(note)));
  std::get<Tombstone>(note.says).about.material.push_back(0);
  EXPECT_FALSE(decode(encode(note)));
}

TEST(Note, OfWhatIsTooLongIsNone) {
  Note note{"1000", Tombstone{subjectOf(key(std::string(kMostBytes, 'x'))), 1, false}};
  EXPECT_TRUE(encode(note).empty());
  tests::ScriptedMember member("1");
  CK_OBJECT_HANDLE made = 0;
  EXPECT_EQ(write(member, 1, note, made).rv, CKR_DATA_LEN_RANGE);
}

TEST(NoteCompare, IsByWhatTheObjectIsMadeOf) {
  const Subject subject = subjectOf(key("one"));
  EXPECT_EQ(compare(subject, key("one")), Likeness::Same);
  EXPECT_EQ(compare(subject, key("renamed")), Likeness::Same);
  EXPECT_EQ(compare(subject, key("one", {1, 2, 4})), Likeness::Other);
  Identity other = key("one");
  other.isPrivate = false;
  EXPECT_EQ(compare(subject, other), Likeness::Other);
  other = key("one");
  other.type = CKK_RSA;
  EXPECT_EQ(compare(subject, other), Likeness::Other);
}

TEST(NoteCompare, WhatTellsTooLittleIsToBeProved) {
  Identity lent = key("one");
  lent.lent = true;
  EXPECT_EQ(compare(subjectOf(key("one")), lent), Likeness::Perhaps);
  EXPECT_EQ(compare(subjectOf(key("one")), key("one", {})), Likeness::Perhaps);
  EXPECT_EQ(compare(subjectOf(key("one")), key("two", {})), Likeness::Other);
  Identity aes{CKO_SECRET_KEY, CKK_AES, true, true, {'k'}, {1}, {1, 2, 3}, false};
  EXPECT_EQ(compare(subjectOf(aes), aes), Likeness::Perhaps) << "three bytes of check value";
  Identity another = aes;
  another.material = {1, 2, 4};
  EXPECT_EQ(compare(subjectOf(aes), another), Likeness::Other);
}

TEST(NoteTable, KnowsARecordByItsKey) {
  NoteTable table;
  const Truth truth{true, false, true, false, CKM_EC_KEY_PAIR_GEN};
  table.put(2, 9, {"1000", Record{subjectOf(key("one")), truth, 1}});
  EXPECT_EQ(table.truthOf(key("one")), truth);
  EXPECT_FALSE(table.truthOf(key("one", {4})));
  EXPECT_EQ(table.truthOf(key("renamed")), truth);
  EXPECT_FALSE(table.truthOf(key("renamed", {})));
  table.forgetPrivate(2);
  EXPECT_FALSE(table.truthOf(key("one")));
}

TEST(NoteTable, KnowsTheRecordOfACopyByItsName) {
  NoteTable table;
  const Truth generated{true, false, false, false, CKM_EC_KEY_PAIR_GEN};
  table.put(0, 1, {"1000", Record{subjectOf(key("one")), generated, 1}});
  table.put(0, 2, {"1000", Record{subjectOf(key("two")), Truth{}, 1}});
  EXPECT_EQ(table.truthOf(key("one")), generated);
  EXPECT_EQ(table.truthOf(key("two")), Truth{});
  EXPECT_EQ(table.truthOf(key("three")), Truth{}) << "what both say";
  ASSERT_EQ(table.recordsOf(0, key("two")).size(), 1U);
  EXPECT_EQ(table.recordsOf(0, key("two")).front().handle, 2U);
  EXPECT_TRUE(table.recordsOf(1, key("two")).empty());
}

TEST(NoteTable, ForgetsWhatIsGone) {
  NoteTable table;
  const Note one{"1000", Record{subjectOf(key("one")), Truth{true, false, false, false, 5}, 1}};
  table.put(0, 1, one);
  table.put(1, 1, one);
  table.put(0, 1, {"1000", Record{subjectOf(key("two", {9})), Truth{}, 1}});
  EXPECT_TRUE(table.recordsOf(0, key("one")).empty());
  EXPECT_EQ(table.recordOf(key("one")), one);
  table.forget(1, 1);
  EXPECT_FALSE(table.recordOf(key("one")));
  table.forgetMember(0);
  EXPECT_FALSE(table.recordOf(key("two", {9})));
}

}  // namespace
}  // namespace p11ha::ha::notes
