// p11ha-history: the life of objects on a group while its members and its applications come and go, and a checker that
// finds what has become of them.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "testbed/history/application.h"
#include "testbed/history/check.h"
#include "testbed/history/listing.h"

namespace {

using namespace p11ha::history;

int listStore(const std::string& module, const std::string& label) {
  const char* const pin = std::getenv("P11HA_PIN");
  const Token token(module, label, pin == nullptr ? "" : pin);
  for (const Line& line : listObjectsOf(token)) std::fputs(line.text().c_str(), stdout);
  return token.end() == CKR_OK ? 0 : 1;
}

// " (set answered 0x30: 3, copy cut off: 2)", of the calls that were not answered CKR_OK.
std::string answersOf(const Story& story) {
  std::map<std::string, std::size_t> answers;
  for (const AskedCall& call : story.calls()) {
    char rv[32] = "cut off";
    if (call.rv) std::snprintf(rv, sizeof rv, "answered 0x%lx", *call.rv);
    if (!call.done()) ++answers[call.operation + " " + rv];
  }
  std::string text;
  for (const auto& [answer, count] : answers) {
    text.append(text.empty() ? " (" : ", ").append(answer).append(": ").append(std::to_string(count));
  }
  return text.empty() ? text : text + ")";
}

int checkFiles(std::uint64_t seed, const std::vector<std::string>& journals, const std::vector<std::string>& listings) {
  Story story;
  for (const std::string& journal : journals) {
    for (const Line& line : JournalReader(journal).more()) story.add(std::filesystem::path(journal).stem(), line);
  }
  std::vector<MemberListing> members;
  members.reserve(listings.size());
  for (const std::string& listing : listings) {
    members.push_back({std::filesystem::path(listing).stem(), JournalReader(listing).more()});
  }
  const Findings findings = check(story, members);
  for (const std::string& wrong : findings.wrong) std::printf("%s\n", wrong.c_str());
  std::printf(
      "history seed %llu: %zu operations%s, %zu objects on %zu members (%zu left by calls not answered CKR_OK, %zu of "
      "p11ha's own), wrong: %zu\n",
      static_cast<unsigned long long>(seed), story.calls().size(), answersOf(story).c_str(), findings.objects,
      members.size(), findings.leftOver, findings.own, findings.wrong.size());
  return findings.wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("The life of objects on a group while its members and its applications come and go.");
  program.require_subcommand(1);

  ApplicationOptions options;
  CLI::App* const app = program.add_subcommand(
      "app", "works on objects of the token of P11HA_MODULE, P11HA_LABEL and P11HA_PIN; its end, that of its input");
  app->add_option("--name", options.name, "of the application, within its objects' labels")->required();
  app->add_option("--journal", options.journal, "what it does; goes on with it")->required();
  app->add_option("--other", options.other, "the journal of the other application");
  app->add_option("--state", options.state, "a file that says which members serve, as 101");
  app->add_option("--seed", options.seed);
  app->add_option("--operations", options.operations);
  app->add_option("--only", options.only, "create, generate, pair, unwrap, derive, copy, set, destroy")->delimiter(',');
  app->add_flag("--sealed", options.sealed, "non-extractable keys, too");

  std::string module;
  std::string label;
  CLI::App* const list = program.add_subcommand("list", "lists what a token holds, which P11HA_PIN opens");
  list->add_option("--module", module)->required();
  list->add_option("--token", label, "its label")->required();

  std::uint64_t seed = 0;
  std::vector<std::string> journals;
  std::vector<std::string> listings;
  CLI::App* const checking =
      program.add_subcommand("check", "compares journals and lists; a line for all that is wrong");
  checking->add_option("--seed", seed, "for the summary");
  checking->add_option("--journal", journals)->required();
  checking->add_option("--list", listings, "of a member each, in files")->required();

  CLI11_PARSE(program, argc, argv);
  try {
    if (*app) return runApplication(options);
    if (*list) return listStore(module, label);
    return checkFiles(seed, journals, listings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "p11ha-history: %s\n", error.what());
    return 1;
  }
}
