#include "bench/callgrind_profile.h"

#include <gtest/gtest.h>

#include <sstream>

namespace p11ha::bench {
namespace {

constexpr char kModule[] = "/lib/module.so";

std::optional<CallgrindCosts> read(const std::string& text) {
  std::istringstream file(text);
  return readCallgrind(file, kModule);
}

TEST(ReadCallgrind, TellsTheModulesOwnFunctionsApart) {
  const auto costs = read(
      "version: 1\npositions: line\nevents: Ir\nsummary: 1000\n\n"
      "ob=(1) /bin/program\nfl=(1) main.cc\nfn=(1) loop\n"
      "16 7\n"
      "cob=(2) /lib/group.so\ncfi=(2) dispatch.cc\ncfn=(2) C_Sign\ncalls=10 20 \n16 900\n"
      "+3 2\n"
      "ob=(2)\nfl=(2)\nfn=(2)\n"
      "20 5\n"
      "cob=(3) /lib/module.so\ncfi=(3) module.cc\ncfn=(3) C_Sign\ncalls=10 30 \n20 700\n"
      "cob=(3)\ncfn=(4) internal\ncalls=1 30 \n20 11\n"
      "ob=(3)\nfl=(3)\nfn=(3)\n"
      "30 600\n"
      "cfn=(5) C_Inner\ncalls=10 40 \n30 50\n"
      "totals: 1000\n");
  ASSERT_TRUE(costs);
  EXPECT_EQ(costs->total, 1000U);
  EXPECT_EQ(costs->inModule, 700U);  // not the internal function, nor the call within the module
}

TEST(ReadCallgrind, AddsUpAllWaysIn) {
  const auto costs = read(
      "ob=/bin/program\nfn=one\n"
      "cob=/lib/module.so\ncfn=C_DigestInit\ncalls=1 0\n1 30\n"
      "cob=/lib/module.so\ncfn=C_Digest\ncalls=1 0\n2 12\n"
      "fn=two\n"
      "cob=/lib/module.so\ncfn=C_Digest\ncalls=1 0\n* 4\n"
      "cfn=C_Digest\ncalls=1 0\n3 100\n"  // the program's own: no object is said
      "totals: 200\n");
  ASSERT_TRUE(costs);
  EXPECT_EQ(costs->inModule, 46U);
}

TEST(ReadCallgrind, IsNothingWithoutTotals) {
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read("events: Ir\nfn=main\n1 2\n"));
  EXPECT_FALSE(read("totals: x\n"));
}

}  // namespace
}  // namespace p11ha::bench
