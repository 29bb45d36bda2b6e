// What hacm prints, to the character: every transcript of tests/golden/hacm is done again, command by command.
//
// A transcript is lines `$ COMMAND`, of a shell, each with what it prints, standard error too, and `[STATUS]` where it
// fails. In both @DIR@ stands for the working directory, which is the transcript's own, holds the configuration, and in
// it tokens.conf: one that leads to three fresh SoftHSM tokens, called 154438865287, 1238700701509 and 150032, and to
// applications that report in @DIR@/status. In
// commands @PIN@ and @SOPIN@ stand for their PINs, which are never printed, @SLOT1@ to @SLOT3@ for their slots,
// @MODULE@ for SoftHSM, @P11HA@ for this project's module, @SOURCE@ for its source. @FAILING@, in what is printed too,
// stands for a module before SoftHSM that fails as p11ha-failctl $P11HA_FAILING_CONTROL tells it. Lines before the
// first command say what it is about. With P11HA_WRITE_GOLDEN set, what is printed is written to the file instead.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/program.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests::transcripts {
namespace {

const std::filesystem::path kGolden = P11HA_SOURCE_DIR "/tests/golden/hacm";

constexpr const char* kP11ha = P11HA_BINARY_DIR "/lib/libp11ha.so";
constexpr const char* kFailing = P11HA_BINARY_DIR "/lib/p11ha-failing.so";

constexpr std::array kSerials = {"154438865287", "1238700701509", "150032"};

std::vector<std::filesystem::path> all() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string contentOf(const std::filesystem::path& file) {
  std::ostringstream content;
  content << std::ifstream(file).rdbuf();
  return content.str();
}

class Transcript : public testing::TestWithParam<std::filesystem::path> {
 protected:
  Transcript() : store(3) {
    std::filesystem::create_directory(directory);
    std::filesystem::create_directory(control);
    std::ofstream tokens(directory + "/tokens.conf");
    tokens << "p11ha = {\n  StatusPath = " << directory << "/status;\n";
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string module = "  Module0" + std::to_string(i);
      tokens << module << "Path = " << kSoftHsmModule << ";\n"
             << module << "Slot = " << slotOf(store.serial(i)) << ";\n"
             << module << "Serial = " << kSerials.at(i) << ";\n";
    }
    tokens << "}\n";
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    setenv("P11HA_CONF", (directory + "/Chrystoki.conf").c_str(), 1);
    setenv("PATH", (std::string(P11HA_BINARY_DIR "/bin:") + std::getenv("PATH")).c_str(), 1);
  }

  /// SoftHSM makes it of the serial number's end.
  static unsigned long slotOf(const std::string& serial) {
    return std::stoul(serial.substr(serial.size() - 8), nullptr, 16) & 0x7fffffffUL;
  }
  static void replace(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  }
  std::string filled(std::string text) const {
    for (const auto& [name, value] :
         {std::pair("@SOURCE@", std::string(P11HA_SOURCE_DIR)), std::pair("@PIN@", store.pin()),
          std::pair("@SOPIN@", store.soPin()), std::pair("@MODULE@", std::string(kSoftHsmModule)),
          std::pair("@P11HA@", std::string(kP11ha)), std::pair("@FAILING@", std::string(kFailing)),
          std::pair("@DIR@", directory)})
      replace(text, name, value);
    for (std::size_t i = 0; i < store.serials().size(); ++i)
      replace(text, "@SLOT" + std::to_string(i + 1) + "@", std::to_string(slotOf(store.serial(i))));
    return text;
  }
  std::string run(const std::string& command) const {
    // Without a terminal: nothing is asked.
    const std::string quoted = [&] {
      std::string text = filled(command);
      replace(text, "'", "'\\''");
      return "'" + text + "'";
    }();
    const Ran ran = runCommandLine("cd " + directory + " && setsid --wait sh -c " + quoted + " 2>&1 </dev/null");
    std::string printed = ran.text;
    replace(printed, directory, "@DIR@");
    replace(printed, kFailing, "@FAILING@");
    return printed + (ran.status == 0 ? "" : "[" + std::to_string(ran.status) + "]\n");
  }

  SoftHsmStore store;
  const std::string directory = (store.folder() / "work").string();
  const std::string control = (store.folder() / "failing").string();
};

TEST_P(Transcript, PrintsTheSameAgain) {
  const std::string expected = contentOf(GetParam());
  std::istringstream lines(expected);
  std::string actual;
  bool begun = false;
  for (std::string line; std::getline(lines, line);) {
    const bool isCommand = line.starts_with("$ ");
    if (isCommand) actual += line + "\n" + run(line.substr(2));
    if (!isCommand && !begun) actual += line + "\n";
    begun = begun || isCommand;
  }
  if (std::getenv("P11HA_WRITE_GOLDEN") != nullptr) std::ofstream(GetParam()) << actual;
  EXPECT_EQ(actual, contentOf(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Of, Transcript, testing::ValuesIn(all()),
                         [](const auto& file) { return file.param.stem().string(); });

}  // namespace
}  // namespace p11ha::tests::transcripts
