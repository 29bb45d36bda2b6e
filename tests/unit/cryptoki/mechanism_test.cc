#include "cryptoki/mechanism.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace p11ha::cryptoki {
namespace {

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

}  // namespace
}  // namespace p11ha::cryptoki
