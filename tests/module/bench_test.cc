// p11ha-bench, as it is run.
#include <nlohmann/json.hpp>

#include "tests/module/group_fixture.h"
#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

Ran runBench(const std::string& arguments) { return runCommandLine(P11HA_BINARY_DIR "/bin/p11ha-bench " + arguments); }

std::string subject(const std::string& name, const std::string& module, const std::string& token,
                    const std::string& more = "pin=12345678") {
  return " --subject '" + name + " module=" + module + " token=" + token + " " + more + "'";
}

class BenchTest : public GroupTest {
 protected:
  std::string direct(const std::string& more = "pin=12345678") const {
    return subject("direct", kFailingModule, SoftHsmStore::label(0), more);
  }
};

TEST_F(BenchTest, RunsEveryWorkloadWithoutErrors) {
  std::istringstream listed(runBench("list").text);
  std::string all;
  std::size_t workloads = 0;
  std::string line;
  for (std::getline(listed, line); std::getline(listed, line); ++workloads)
    all += (all.empty() ? "" : ",") + line.substr(0, line.find(' '));
  ASSERT_GE(workloads, 8U);
  const Ran said =
      runBench("compare --json --rounds 2 --round-ms 1 --threads 1,4 --workload " + all +
               subject("direct", kSoftHsmModule, SoftHsmStore::label(1)) + subject("group", kGroupModule, "demo"));
  ASSERT_EQ(said.status, 0) << said.text;
  const auto rows = nlohmann::json::parse(said.text).at("throughput");
  EXPECT_EQ(rows.size(), workloads * 2 * 2);
  for (const auto& row : rows) {
    EXPECT_EQ(row.at("errors"), 0) << row;
    EXPECT_GE(row.at("calls"), 1) << row;
    EXPECT_GT(row.at("calls_per_second"), 0) << row;
    EXPECT_LE(row.at("p50_us"), row.at("p99_us")) << row;
    EXPECT_LE(row.at("p99_us"), row.at("max_us")) << row;
  }
}

TEST_F(BenchTest, CountsAndNamesErrors) {
  tell("fail serial:" + store.serial(0) + " C_Digest CKR_DEVICE_MEMORY");
  const Ran said =
      runBench("compare --json --rounds 1 --round-ms 1 --threads 2 --workload sha256-64" + direct() + " 2>/dev/null");
  EXPECT_EQ(said.status, 1);
  const auto rows = nlohmann::json::parse(said.text).at("throughput");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("errors"), rows[0].at("calls").get<int>() + 2);  // and each thread's untimed one
  EXPECT_EQ(rows[0].at("first_error"), "CKR_DEVICE_MEMORY");
}

TEST_F(BenchTest, SaysWhyItCannotMeasure) {
  const std::string quick = "compare --rounds 1 --round-ms 1 --threads 1 --workload random-32";
  const auto why = [&quick](const std::string& more) {
    const Ran said = runBench(quick + more + " 2>&1");
    EXPECT_EQ(said.status, 1) << said.text;
    return said.text;
  };
  EXPECT_EQ(why(direct("pin=wrong")),
            "p11ha-bench: direct: " + kFailingModule + ": C_Login answers CKR_PIN_INCORRECT\n");
  EXPECT_EQ(why(subject("direct", kFailingModule, "nobody")),
            "p11ha-bench: direct: " + kFailingModule + ": no token \"nobody\"\n");
  EXPECT_EQ(why(direct() + " --workload juggling"), "p11ha-bench: no workload \"juggling\"; see `p11ha-bench list`\n");
}

TEST_F(BenchTest, LosesNoLineOfTheLog) {
  const Ran said = runBench("log --json --rounds 2 --lines 3000");
  ASSERT_EQ(said.status, 0) << said.text;
  const auto rows = nlohmann::json::parse(said.text).at("log");
  ASSERT_EQ(rows.size(), 2U);
  for (const auto& row : rows) {
    EXPECT_EQ(row.at("dropped"), 0);
    EXPECT_GT(row.at("ratio"), 0);
  }
}

TEST_F(BenchTest, CountsInstructionsRepeatably) {
  const std::string arguments = "count --json --calls 20 --workload random-32" +
                                subject("direct", kSoftHsmModule, SoftHsmStore::label(1)) +
                                subject("group", kGroupModule, "demo");
  const Ran once = runBench(arguments);
  const Ran again = runBench(arguments);
  ASSERT_EQ(once.status, 0) << once.text;
  const auto rows = nlohmann::json::parse(once.text).at("instructions");
  const auto rowsAgain = nlohmann::json::parse(again.text).at("instructions");
  ASSERT_EQ(rows.size(), 2U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_GT(rows[i].at("instructions"), 0);
    EXPECT_EQ(rows[i].at("added"), rowsAgain[i].at("added")) << rows[i];
    EXPECT_EQ(rows[i].at("added") == 0, rows[i].at("subject") == "direct") << rows[i];
  }
}

}  // namespace
}  // namespace p11ha::tests
