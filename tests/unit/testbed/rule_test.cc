#include "testbed/failing_module/rule.h"

#include <gtest/gtest.h>

namespace p11ha::testbed {
namespace {

std::string again(const std::string& line) {
  const auto rule = parseRule(splitWords(line));
  return rule ? ruleText(*rule) : "error: " + rule.error();
}

TEST(Rule, ReadsWhatItWrites) {
  for (const std::string line :
       {"fail serial:ab12 C_SignInit,C_Sign CKR_DEVICE_ERROR", "fail any * CKR_HOST_MEMORY after",
        "fail 3 C_Initialize CKR_GENERAL_ERROR times 2", "fail 3 * 0x12345", "delay 0 C_Sign 20", "hang any * times 1",
        "unplug serial:ab12", "deactivate 17"}) {
    EXPECT_EQ(again(line), line);
  }
  EXPECT_EQ(again("fail 0x10 C_Sign 0x30"), "fail 16 C_Sign CKR_DEVICE_ERROR");
  EXPECT_EQ(again("hang any"), "hang any *");
}

TEST(Rule, SaysWhatItExpected) {
  EXPECT_EQ(again(""), "error: \"\" is no command");
  EXPECT_EQ(again("break 1"), "error: \"break\" is no command");
  EXPECT_EQ(again("unplug serial:"), "error: \"serial:\" names no slot (expected a number, serial:SERIAL or any)");
  EXPECT_EQ(again("unplug -1"), "error: \"-1\" names no slot (expected a number, serial:SERIAL or any)");
  EXPECT_EQ(again("fail 1"), "error: which calls? (expected C_Sign,C_Verify or *)");
  EXPECT_EQ(again("fail 1 C_Sign,"), "error: \"\" is no PKCS#11 function (expected C_Sign,C_Verify or *)");
  EXPECT_EQ(again("fail 1 C_GetInterface 1"), "error: C_GetInterface cannot be made to fail");
  EXPECT_EQ(again("fail 1 * x"), "error: \"x\" is no return code (expected CKR_DEVICE_ERROR or 0x30)");
  EXPECT_EQ(again("delay 1 * soon"), "error: \"soon\" is no number of milliseconds");
  EXPECT_EQ(again("hang 1 * times 0"), "error: \"0\" is no number of times");
  EXPECT_EQ(again("unplug 1 now"), "error: \"now\" is too much");
}

TEST(Rule, StarLeavesOutWhatWouldStopEverything) {
  using cryptoki::Fn;
  const auto rule = parseRule(splitWords("fail any * CKR_DEVICE_ERROR"));
  ASSERT_TRUE(rule.ok());
  EXPECT_FALSE(rule->names(Fn::Initialize));
  EXPECT_FALSE(rule->names(Fn::Finalize));
  EXPECT_FALSE(rule->names(Fn::GetFunctionList));
  EXPECT_TRUE(rule->names(Fn::GetSlotList));
  EXPECT_TRUE(rule->names(Fn::EncryptMessage));
}

}  // namespace
}  // namespace p11ha::testbed
