#include "tests/conformance/comparison/comparer.h"

#include <algorithm>
#include <map>

namespace p11ha::conformance {
namespace {

constexpr char kNone[] = "(none)";

// The sections in the order in which they first occur, each with its calls.
using Sections = std::vector<std::pair<std::string, std::vector<const Entry*>>>;

Sections split(const Transcript& transcript) {
  Sections sections;
  std::map<std::string, std::size_t> at;
  for (const Entry& entry : transcript) {
    const auto [found, isNew] = at.try_emplace(entry.section, sections.size());
    if (isNew) sections.push_back({entry.section, {}});
    sections[found->second].second.push_back(&entry);
  }
  return sections;
}

const std::vector<const Entry*>* find(const Sections& sections, const std::string& name) {
  const auto found = std::find_if(sections.begin(), sections.end(), [&](const auto& one) { return one.first == name; });
  return found == sections.end() ? nullptr : &found->second;
}

const std::string* valueOf(const Entry& entry, const std::string& name) {
  for (const Output& output : entry.outputs) {
    if (output.name == name) return &output.value;
  }
  return nullptr;
}

class Comparer {
 public:
  Comparison run(const Transcript& reference, const Transcript& subject) {
    const Sections expected = split(reference);
    const Sections got = split(subject);
    const std::vector<const Entry*> nothing;
    for (const auto& [name, calls] : expected) {
      const auto* others = find(got, name);
      section(calls, others == nullptr ? nothing : *others);
    }
    for (const auto& [name, calls] : got) {
      if (find(expected, name) == nullptr) section(nothing, calls);
    }
    return std::move(result_);
  }

 private:
  void section(const std::vector<const Entry*>& reference, const std::vector<const Entry*>& subject) {
    const std::size_t common = std::min(reference.size(), subject.size());
    std::size_t i = 0;
    const auto alike = [](const Entry& a, const Entry& b) {
      return a.function == b.function && a.situation == b.situation;
    };
    for (; i < common && alike(*reference[i], *subject[i]); ++i) call(*reference[i], *subject[i]);
    if (i == reference.size() && i == subject.size()) return;
    const Entry& parted = i < reference.size() ? *reference[i] : *subject[i];
    if (result_.differences.empty()) {
      result_.differences.push_back({parted, "call", i < reference.size() ? "made" : "not made",
                                     i < subject.size() ? describe(*subject[i]) : "not made"});
    }
    for (; i < reference.size(); ++i) result_.notCompared.push_back({*reference[i], "the scripts part before it"});
  }

  void call(const Entry& expected, const Entry& got) {
    if (expected.rv == kDied) {
      result_.notCompared.push_back({expected, "the reference dies of it"});
      return;
    }
    result_.compared.push_back(expected);
    if (expected.rv != got.rv) {
      result_.differences.push_back({expected, "rv", expected.rv, got.rv});
      return;  // the outputs follow from it
    }
    for (const Output& output : expected.outputs) {
      const std::string* other = valueOf(got, output.name);
      if (other == nullptr || *other != output.value) {
        result_.differences.push_back({expected, output.name, output.value, other == nullptr ? kNone : *other});
      }
    }
    for (const Output& output : got.outputs) {
      if (valueOf(expected, output.name) == nullptr) {
        result_.differences.push_back({expected, output.name, kNone, output.value});
      }
    }
  }

  Comparison result_;
};

}  // namespace

Comparison compare(const Transcript& reference, const Transcript& subject) {
  return Comparer().run(reference, subject);
}

}  // namespace p11ha::conformance
