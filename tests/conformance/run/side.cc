#include "tests/conformance/run/side.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "tests/conformance/chapters/scenario.h"

namespace p11ha::conformance {
namespace {

constexpr unsigned kSecondsForOne = 300;
constexpr std::size_t kMostDeaths = 60;
constexpr int kGaveUp = 70;  // none that a sanitizer ends a process with

std::set<Place> readPlaces(const std::string& file) {
  std::set<Place> places;
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const auto tab = line.find('\t');
    places.insert({line.substr(0, tab), static_cast<unsigned>(std::stoul(line.substr(tab + 1)))});
  }
  return places;
}

// The words of a command or an environment, as execve takes them.
std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

}  // namespace

int record(const RecordOrder& order) {
  alarm(kSecondsForOne);  // a call that never returns is a death
  try {
    const int out = open(order.transcript.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) throw std::runtime_error(order.transcript + " cannot be written");
    const Module module(order.module);
    Recorder recorder(module, out, readPlaces(order.leftOut));
    Client client(recorder, order.token);
    scenarioNamed(order.scenario).run(client);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << order.scenario << ": " << error.what() << '\n';
    return kGaveUp;
  }
}

Side::Side(const std::string& profile, std::size_t members, const std::string& groupLibrary)
    : tokens_(profile, members),
      module_(tokens_.module),
      access_{tokens_.labels[0], tokens_.pin, tokens_.soPin, tokens_.reserved} {
  if (!groupLibrary.empty()) configureGroup(groupLibrary);
}

void Side::configureGroup(const std::string& groupLibrary) {
  const std::string file = (tokens_.folder() / "Chrystoki.conf").string();
  std::ofstream out(file);
  out << "VirtualToken = {\n   VirtualToken00Label = group;\n   VirtualToken00SN = 1000;\n   VirtualToken00Members = ";
  for (std::size_t i = 0; i < tokens_.serials.size(); ++i) out << (i == 0 ? "" : ", ") << tokens_.serials[i];
  out << ";\n}\nHASynchronize = {\n   group = 1;\n}\nHAConfiguration = {\n   HAOnly = 1;\n}\nLunaSA Client = {\n";
  for (const std::string& line : tokens_.client) out << "   " << line << ";\n";
  out << "}\np11ha = {\n";
  const std::size_t modules = tokens_.elsewhere ? 0 : std::max<std::size_t>(tokens_.slots.size(), 1);
  for (std::size_t i = 0; i < modules; ++i) {
    const std::string key = "   Module" + std::string(i < 10 ? "0" : "") + std::to_string(i);
    out << key << "Path = " << tokens_.module << ";\n";
    if (!tokens_.reserved.empty()) out << key << "Reserved = \"" << tokens_.reserved << "\";\n";
    if (tokens_.slots.empty()) continue;
    out << key << "Slot = " << tokens_.slots[i] << ";\n" << key << "Serial = " << tokens_.serials[i] << ";\n";
  }
  out << "   CloningPolicy = user;\n}\n";
  tokens_.environment.push_back("P11HA_CONF=" + file);
  module_ = groupLibrary;
  access_.label = "group";
  access_.reserved.clear();
}

namespace {

// The last one made: what comes after it did not answer, or never began.
const Entry* toBlame(const Transcript& transcript) {
  const auto last =
      std::find_if(transcript.rbegin(), transcript.rend(), [](const Entry& e) { return e.rv != kLeftOut; });
  return last == transcript.rend() ? nullptr : &*last;
}

}  // namespace

std::set<Place> Side::deaths(const Transcript& transcript) {
  std::set<Place> places;
  for (const Entry& entry : transcript) {
    if (entry.rv == kDied) places.insert({entry.section, entry.number});
  }
  return places;
}

Transcript Side::run(const std::string& scenario, std::set<Place> leftOut) {
  std::set<Place> died;
  Transcript transcript;
  while (!attempt(scenario, leftOut, transcript)) {
    const Entry* const culprit = toBlame(transcript);
    if (culprit == nullptr || died.size() == kMostDeaths) {
      throw std::runtime_error(scenario + " cannot be run on " + module_ +
                               (culprit == nullptr ? "" : ", last " + describe(*culprit)));
    }
    const Place place{culprit->section, culprit->number};
    died.insert(place);
    leftOut.insert(place);
  }
  for (Entry& entry : transcript) {
    if (died.contains({entry.section, entry.number})) entry.rv = kDied;
  }
  return transcript;
}

bool Side::attempt(const std::string& scenario, const std::set<Place>& leftOut, Transcript& transcript) {
  tokens_.restore();
  const std::string out = (tokens_.folder() / "transcript").string();
  const std::string places = (tokens_.folder() / "left-out").string();
  {
    std::ofstream file(places);
    for (const auto& [section, number] : leftOut) file << section << '\t' << number << '\n';
  }
  std::vector<std::string> words = tokens_.runner;
  words.insert(words.end(), {std::filesystem::read_symlink("/proc/self/exe").string(), "--record", scenario, module_,
                             access_.label, access_.pin, access_.soPin, access_.reserved, out, places});
  std::vector<std::string> environment = tokens_.environment;
  for (char** one = environ; *one != nullptr; ++one) environment.emplace_back(*one);
  pid_t child = 0;
  auto arguments = pointers(words);
  auto variables = pointers(environment);
  std::filesystem::remove(out);
  if (posix_spawn(&child, words.front().c_str(), nullptr, nullptr, arguments.data(), variables.data()) != 0) {
    throw std::runtime_error("no process could be made");
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::ifstream in(out);
  transcript = readTranscript(in);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kGaveUp)
    throw std::runtime_error(scenario + " gave up on " + module_);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace p11ha::conformance
